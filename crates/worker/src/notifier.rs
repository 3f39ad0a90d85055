//! Sends notifications from the monitor and from cron triggers.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::{Either, select};
use tunnel_balancer_core::{Clock, Reason};
use tunnel_balancer_state::{Delivery, DeliveryError, MonitorRecord, NotifyTarget, ProbeRun};
use worker::js_sys;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::web_sys;

use crate::clock::JsClock;
use crate::error::Result;
use crate::log;
use crate::pending::value_of;

/// The longest time of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends what is due. The record is used by others between the requests.
pub(crate) async fn deliver(record: &RefCell<MonitorRecord>, targets: &[NotifyTarget]) {
    let now = JsClock.now().as_millis();
    let due = record.borrow_mut().notifications.due_at_most(ProbeRun::MAX_DELIVERIES, targets, now);
    for delivery in due {
        let result = send(&delivery).await;
        let error = result.as_ref().err().cloned();
        let settled = record.borrow_mut().notifications.on_result(&delivery.id, result, JsClock.now().as_millis());
        if let Some(settled) = settled {
            log::write(&settled.log_entry(&delivery, error.as_ref()));
        }
    }
}

async fn send(delivery: &Delivery) -> Result<(), DeliveryError> {
    let sent = std::pin::pin!(fetch(delivery));
    match select(sent, std::pin::pin!(JsClock.sleep(TIMEOUT))).await {
        Either::Left((Ok((status, retry_after)), _)) => DeliveryError::check(status, retry_after.as_deref()),
        // The message of the exception may have the URL.
        Either::Left((Err(_), _)) => Err(DeliveryError::new(Reason::ConnectionLost)),
        Either::Right(_) => Err(DeliveryError::new(Reason::Timeout)),
    }
}

async fn fetch(delivery: &Delivery) -> Result<(u16, Option<String>)> {
    let init = web_sys::RequestInit::new();
    init.set_method(delivery.method);
    init.set_redirect(web_sys::RequestRedirect::Manual);
    if !delivery.body.is_empty() {
        init.set_body(&JsValue::from_str(&delivery.body));
    }
    let request = web_sys::Request::new_with_str_and_init(&delivery.url, &init)?;
    delivery.headers.iter().try_for_each(|(name, value)| request.headers().set(name, value))?;
    let global: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response: web_sys::Response = value_of(&global.fetch_with_request(&request)).await?.unchecked_into();
    let _ = response.body().map(|body| body.cancel());
    Ok((response.status(), response.headers().get("retry-after")?))
}
