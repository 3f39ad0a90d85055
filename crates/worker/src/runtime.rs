//! Calls of the runtime that neither `web-sys` nor a small part of `worker` covers. The types of
//! `worker` for requests, responses and storage would make the program 30 KB larger.

use worker::js_sys::{self, Array, Function, Promise, Reflect};
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::worker_sys::ext::CacheStorageExt as _;
use worker::{Env, web_sys};

use crate::error::Result;
use crate::pending::value_of;

/// Returns a binding of the Worker.
pub(crate) fn binding(env: &Env, name: &str) -> Option<JsValue> {
    Reflect::get(env, &name.into()).ok().filter(|binding| !binding.is_undefined())
}

/// Calls a method and waits for its result.
pub(crate) async fn call(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue> {
    let method: Function = Reflect::get(object, &method.into())?.dyn_into()?;
    let result = method.apply(object, &arguments.iter().collect::<Array>())?;
    Ok(value_of(&Promise::resolve(&result)).await?)
}

/// Returns the cache of the data center.
pub(crate) fn cache() -> Result<web_sys::Cache> {
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    Ok(global.caches()?.default())
}

/// Returns the whole body of a request.
pub(crate) async fn request_text(request: &web_sys::Request) -> Result<String> {
    Ok(value_of(&request.text()?).await?.as_string().unwrap_or_default())
}

/// Returns the whole body of a response.
pub(crate) async fn response_text(response: &web_sys::Response) -> Result<String> {
    Ok(value_of(&response.text()?).await?.as_string().unwrap_or_default())
}

/// Returns a response with a body.
pub(crate) fn text_response(body: &str, status: u16) -> Result<web_sys::Response> {
    let init = web_sys::ResponseInit::new();
    init.set_status(status);
    Ok(web_sys::Response::new_with_opt_str_and_init(Some(body), &init)?)
}
