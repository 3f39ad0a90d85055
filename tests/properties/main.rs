//! What must hold for every path, script and clock, tried on random ones. A failure prints the smallest case found.

mod addressing;
mod choice;
mod exchange;
mod probing;
