//! The `Headers` of JavaScript as header fields of the core.

use tunnel_balancer_core::headers::HeaderFields;
use worker::wasm_bindgen::JsValue;
use worker::web_sys;

/// The headers of a request or response, edited in place.
#[derive(Clone, Debug)]
pub(crate) struct Fields(pub(crate) web_sys::Headers);

impl HeaderFields for Fields {
    type Error = JsValue;

    fn get(&self, name: &str) -> Result<Option<String>, JsValue> {
        self.0.get(name)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), JsValue> {
        self.0.set(name, value)
    }

    fn append(&mut self, name: &str, value: &str) -> Result<(), JsValue> {
        self.0.append(name, value)
    }

    fn remove(&mut self, name: &str) -> Result<(), JsValue> {
        self.0.delete(name)
    }

    fn remove_if(&mut self, is_removed: impl Fn(&str) -> bool) -> Result<(), JsValue> {
        let removed: Vec<String> = worker::Headers(self.0.clone()).keys().filter(|name| is_removed(name)).collect();
        removed.iter().try_for_each(|name| self.0.delete(name))
    }

    /// Lines are replaced only if one of them changes. JavaScript keeps the lines of `Set-Cookie`
    /// separate and joins all others.
    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), JsValue> {
        if name != "set-cookie" {
            let Some(value) = self.0.get(name)? else { return Ok(()) };
            return new(&value).map_or(Ok(()), |new| self.0.set(name, &new));
        }
        if !self.0.has(name)? {
            return Ok(());
        }
        let lines = worker::Headers(self.0.clone()).get_all(name)?;
        let rewritten: Vec<Option<String>> = lines.iter().map(|line| new(line)).collect();
        if rewritten.iter().all(Option::is_none) {
            return Ok(());
        }
        self.0.delete(name)?;
        lines.into_iter().zip(rewritten).try_for_each(|(line, new)| self.0.append(name, &new.unwrap_or(line)))
    }
}
