//! The functions of `js/glue.js` and `js/body.js`, which explain them.

use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::web_sys::{Request, Response};
use worker::worker_sys::Context;

#[wasm_bindgen(module = "/js/glue.js")]
extern "C" {
    pub(crate) fn connect(exports: &JsValue);

    #[wasm_bindgen(js_name = beginRehearsal)]
    pub(crate) fn begin_rehearsal();

    #[wasm_bindgen(js_name = finishRehearsal)]
    pub(crate) fn finish_rehearsal();

    #[wasm_bindgen(js_name = setUnread)]
    pub(crate) fn set_unread(of_requests: &str, of_responses: &str);

    #[wasm_bindgen(js_name = describeRequest)]
    pub(crate) fn describe_request(request: &Request) -> String;

    #[wasm_bindgen(catch, js_name = sendParts)]
    pub(crate) fn send_parts(
        slot: usize,
        request: &Request,
        url: &str,
        changes: &str,
        body: &JsValue,
        is_abortable: bool,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = sendCopy)]
    pub(crate) fn send_copy(
        slot: usize,
        request: &Request,
        url: &str,
        changes: &str,
        is_abortable: bool,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn send(slot: usize, request: &Request) -> Result<JsValue, JsValue>;

    pub(crate) fn receive(slot: usize, promise: &Promise) -> JsValue;

    pub(crate) fn hold(context: &Context) -> Function;

    pub(crate) fn cancel(operation: &JsValue);

    pub(crate) fn discard(response: &Response);

    #[wasm_bindgen(catch)]
    pub(crate) fn respond(response: &Response, changes: &str) -> Result<Response, JsValue>;

    #[wasm_bindgen(catch)]
    pub(crate) fn reply(status: u16, changes: &str, body: &str) -> Result<Response, JsValue>;

    #[wasm_bindgen(js_name = startTimer)]
    pub(crate) fn start_timer(slot: usize, milliseconds: u32) -> i32;

    #[wasm_bindgen(js_name = stopTimer)]
    pub(crate) fn stop_timer(timer: i32);

    pub(crate) fn defer();

    pub(crate) fn print(method: &str, line: &str);

    pub(crate) fn random() -> f64;
}

#[wasm_bindgen(module = "/js/body.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = readWhole)]
    pub(crate) fn read_whole(slot: usize, request: &Request) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = readStart)]
    pub(crate) fn read_start(slot: usize, request: &Request, limit: f64, pause: u32) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = readPrefix)]
    pub(crate) fn read_prefix(slot: usize, response: &Response, limit: usize) -> Result<JsValue, JsValue>;
}
