//! Medians, ranges and ratios of repeated measurements.

use serde::Serialize;

/// A median with the range of the values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The median.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Summary {
    /// Summarizes values. `None` if there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { median, min, max })
    }

    /// Summarizes the ratios of values to the reference values of the same rounds.
    pub(crate) fn of_ratios(values: &[f64], reference: &[f64]) -> Option<Self> {
        let ratios = values.iter().zip(reference).filter(|(_, reference)| **reference > 0.0);
        Self::of(&ratios.map(|(value, reference)| value / reference).collect::<Vec<_>>())
    }
}

/// Returns the value below which this share of the values is, such as 0.99. Zero without values.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_is_between_the_middle_values() {
        assert_eq!(Summary::of(&[4.0, 1.0, 3.0, 2.0]), Some(Summary { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Summary::of(&[9.0, 1.0, 3.0]), Some(Summary { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn ratios_are_those_of_single_rounds() {
        // The second round was twice as slow for both.
        let ratios = Summary::of_ratios(&[3.0, 6.0, 3.0], &[2.0, 4.0, 2.0]);
        assert_eq!(ratios, Some(Summary { median: 1.5, min: 1.5, max: 1.5 }));
        assert_eq!(Summary::of_ratios(&[3.0], &[0.0]), None);
    }

    #[test]
    fn percentile_is_a_value_of_the_list() {
        let mut values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 100.0);
        assert_eq!(percentile(&mut values, 0.99), 198.0);
        assert_eq!(percentile(&mut [7.0], 0.99), 7.0);
        assert_eq!(percentile(&mut [], 0.99), 0.0);
    }
}
