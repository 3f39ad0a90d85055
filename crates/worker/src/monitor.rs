//! The Durable Object that probes for all isolates.
//!
//! Alarms wake it, with or without traffic. It keeps its record in SQLite, so that a restart loses
//! nothing, and serves its document to isolates. Nothing here decides: the schedule and the record
//! are those of `tunnel-balancer-state`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::to_string;
use tunnel_balancer_core::{Clock, LogEvent, PoolState, Service, Services, Timestamp};
use tunnel_balancer_state::json::from_str;
use tunnel_balancer_state::{
    MonitorRecord, NotifyTarget, ProbeRun, SIGNATURE_HEADER, SharedState, SummaryCollector, percent_decoded,
};
use worker::js_sys::{self, Array, Date, Function};
use worker::wasm_bindgen::prelude::*;
use worker::worker_sys::{DurableObjectState, SqlStorage};
use worker::{Env, wasm_bindgen, web_sys};

use crate::clock::JsClock;
use crate::error::Result;
use crate::fetch::Invocation;
use crate::pending::value_of;
use crate::runtime::{request_text, text_response};
use crate::sharing::parse;
use crate::store::KEEP_HEADER;
use crate::{control, log, notifier, path_of, probe_run, push, query_of, services, settle, summaries, task};

/// The object. There is one, with the name that [`crate::store`] uses.
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
pub struct Monitor(Rc<Object>);

struct Object {
    state: DurableObjectState,
    env: Env,
    memory: RefCell<Option<Rc<Memory>>>,
}

/// What the object has in memory.
struct Memory {
    /// The services as the configuration has them.
    configured: &'static [Service],
    /// The pools, with the changes of operators.
    services: RefCell<Rc<Services>>,
    targets: &'static [NotifyTarget],
    record: RefCell<MonitorRecord>,
    summaries: RefCell<SummaryCollector>,
    last_run: Cell<Timestamp>,
    saved: Cell<Timestamp>,
}

/// The time after which an alarm that did not come is set again.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// The time after which a run that ended in its middle is repeated.
const RESTART_AFTER: Duration = Duration::from_secs(15);

/// The time after which the record is saved although no state changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The name of this process in its facts.
const REPORTER: &str = "monitor";

/// The methods that the runtime calls.
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
impl Monitor {
    /// Creates the object. Its memory is read later.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        Self(Rc::new(Object { state, env, memory: RefCell::new(None) }))
    }

    /// Responds to an isolate: calls `respond` or `reject`.
    pub fn fetch(&self, request: web_sys::Request, respond: Function, reject: Function) {
        let object = Rc::clone(&self.0);
        task::start(async move {
            match object.respond(&request).await {
                Ok(response) => settle(&respond, &response),
                Err(error) => settle(&reject, &error.into()),
            }
        });
    }

    /// Probes, and calls `done`. Never fails: after six failures in a row the runtime would not
    /// call it again.
    pub fn alarm(&self, done: Function) {
        let object = Rc::clone(&self.0);
        task::start(async move {
            if let Err(error) = object.run().await {
                log::sharing_failed(&error.to_string());
            }
            settle(&done, &JsValue::UNDEFINED);
        });
    }
}

impl Object {
    async fn respond(&self, request: &web_sys::Request) -> Result<web_sys::Response> {
        let memory = self.memory()?;
        self.watch(&memory).await?;
        match path_of(&request.url()) {
            "/state" => {}
            "/report" => {
                let facts = parse(&request_text(request).await?)?;
                let is_changed = memory.merge_report(&facts);
                self.save(&memory, is_changed)?;
            }
            "/push" => {
                let body = request_text(request).await?;
                let signature = request.headers().get(SIGNATURE_HEADER)?.unwrap_or_default();
                let key = push::key(&self.env).unwrap_or_default();
                let now = JsClock.now();
                let accepted = memory.record.borrow_mut().inbox.accept(
                    key.as_bytes(),
                    &signature,
                    body.as_bytes(),
                    now.as_millis(),
                );
                let is_changed = match accepted {
                    Ok(push) => memory.merge_report(&push.state),
                    Err(error) => return push::refuse(error),
                };
                self.save(&memory, is_changed)?;
            }
            summaries::PATH => return summaries::respond(&self.sql()?, &request.url()),
            "/history" => return memory.history(&request.url()),
            path if control::is_control(path) => return self.control(request, path, &memory).await,
            _ => return text_response("unknown path", 404),
        }
        let now = JsClock.now();
        let keep = memory.record.borrow_mut().reads.on_read(now);
        let response = text_response(&to_string(&memory.document(now))?, 200)?;
        response.headers().set(KEEP_HEADER, &keep.as_secs().to_string())?;
        Ok(response)
    }

    /// Probes the servers that are due, and sets the next alarm.
    async fn run(&self) -> Result<()> {
        // First, so that no failure below ends the series.
        self.set_alarm(RESTART_AFTER).await?;
        let memory = self.memory()?;
        let now = JsClock.now();
        let run = ProbeRun::start(now);
        let expired = memory.record.borrow_mut().control.expire(now.as_millis());
        let has_expired = !expired.is_empty();
        if has_expired {
            control::announce(&mut memory.record.borrow_mut(), memory.targets, LogEvent::ControlExpired, &expired);
            memory.apply(now);
        }
        memory.last_run.set(now);
        let services = memory.services();
        let invocation = Invocation::of_probes(ProbeRun::MAX_PROBES);
        probe_run::run(&services, &invocation).await;
        let ended = memory.summaries.borrow_mut().observe(&services, JsClock.now());
        if let Some((minute, summary)) = ended {
            summaries::store(&self.sql()?, minute, &summary)?;
        }
        let is_changed = self.notify(&memory).await;
        self.save(&memory, is_changed || has_expired)?;
        let is_used_up = invocation.is_used_up();
        let pause = run.next(&services, is_used_up, &mut memory.record.borrow_mut().runs, JsClock.now());
        self.set_alarm(pause).await
    }

    /// Announces outages. Returns whether there is something to remember.
    async fn notify(&self, memory: &Memory) -> bool {
        let before = memory.record.borrow().notifications.without_heartbeats();
        for pool in memory.services().pools() {
            let events = log::write_transitions(pool);
            memory.record.borrow_mut().observe(memory.targets, pool, &events, JsClock.now());
        }
        notifier::deliver(&memory.record, memory.targets).await;
        before != memory.record.borrow().notifications.without_heartbeats()
    }

    /// Carries out a request of an operator, which the Worker has authorized.
    async fn control(&self, request: &web_sys::Request, path: &str, memory: &Memory) -> Result<web_sys::Response> {
        // First: other requests of the object run while the body is read.
        let request = control::Received::read(request, path).await?;
        let now = JsClock.now();
        let listed = control::listed(memory.configured, &memory.services(), now);
        let handled = request.handle(&mut memory.record.borrow_mut(), &listed, memory.targets, false, now);
        if !handled.changed.is_empty() {
            memory.apply(now);
            services::release_failbacks(&memory.services(), &handled.changed, now);
            self.save(memory, true)?;
        }
        control::response(&handled.response)
    }

    /// Sets the alarm if it did not come. An alarm can be lost.
    async fn watch(&self, memory: &Memory) -> Result<()> {
        let now = JsClock.now();
        if now.since(memory.last_run.get()) > MAX_SILENCE {
            memory.last_run.set(now);
            self.set_alarm(Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Sets the alarm, instead of an earlier one.
    async fn set_alarm(&self, pause: Duration) -> Result<()> {
        let time = Date::new(&((JsClock.now() + pause).as_millis() as f64).into());
        value_of(&self.state.storage()?.set_alarm(time, js_sys::Object::new())?).await?;
        Ok(())
    }

    fn sql(&self) -> Result<SqlStorage> {
        Ok(self.state.storage()?.sql())
    }

    /// Returns the memory. After a restart it is made from the record.
    fn memory(&self) -> Result<Rc<Memory>> {
        let mut memory = self.memory.borrow_mut();
        if let Some(memory) = &*memory {
            return Ok(Rc::clone(memory));
        }
        let loaded = services::load(&self.env);
        let services = loaded.map(services::Loaded::new_pools).unwrap_or_default();
        let configured = loaded.map_or(&[][..], services::Loaded::configured);
        let targets = loaded.map_or(&[][..], |loaded| &loaded.notify);
        let sql = self.sql()?;
        sql.exec("CREATE TABLE IF NOT EXISTS record (id INTEGER PRIMARY KEY, body TEXT NOT NULL)", Array::new())?;
        summaries::create_table(&sql)?;
        let row = sql.exec("SELECT body FROM record WHERE id = 1", Array::new())?.to_array().get(0);
        let mut record = MonitorRecord::default();
        match summaries::body_of(&row).map(|body| from_str(&body)) {
            Some(Ok(stored)) => record = stored,
            // The next record replaces it.
            Some(Err(error)) => log::sharing_failed(&format!("the stored record is invalid: {error}")),
            None => {}
        }
        if loaded.is_some() {
            record.retain(targets, configured);
        }
        let now = JsClock.now();
        record.control.begin(now.as_millis());
        let services = services::apply(&services, configured, &record.control.overrides, now);
        record.state().merge_into(&services, PoolState::MAX_FACT_AGE, now);
        let (last_run, saved) = (Cell::default(), Cell::new(now));
        let (services, record) = (RefCell::new(Rc::new(services)), RefCell::new(record));
        let new =
            Rc::new(Memory { configured, services, targets, record, summaries: RefCell::default(), last_run, saved });
        *memory = Some(Rc::clone(&new));
        Ok(new)
    }

    /// Saves the record if `is_changed` or a state changed, and else from time to time.
    fn save(&self, memory: &Memory, is_changed: bool) -> Result<()> {
        let now = JsClock.now();
        let document = memory.document(now);
        let is_same = !is_changed && memory.record.borrow().state().has_same_states(&document);
        if is_same && now.since(memory.saved.get()) < SAVE_INTERVAL {
            return Ok(());
        }
        memory.saved.set(now);
        memory.record.borrow_mut().set_state(document);
        let body = to_string(&*memory.record.borrow())?;
        self.sql()?.exec("INSERT OR REPLACE INTO record (id, body) VALUES (1, ?)", Array::of1(&body.into()))?;
        Ok(())
    }
}

impl Memory {
    /// Returns the history for the status page as a [`MonitorRecord`]: that of the service in the
    /// query, or all of it.
    fn history(&self, url: &str) -> Result<web_sys::Response> {
        let service = query_of(url).strip_prefix("service=").and_then(percent_decoded);
        let control = self.record.borrow().control.only_history(service.as_deref());
        text_response(&format!("{{\"control\":{}}}", to_string(&control)?), 200)
    }

    fn services(&self) -> Rc<Services> {
        Rc::clone(&self.services.borrow())
    }

    /// Merges what another process observed. Returns whether there is a transition to remember.
    fn merge_report(&self, report: &SharedState) -> bool {
        self.record.borrow_mut().merge_report(report, &self.services(), JsClock.now())
    }

    /// Applies the changes of operators.
    fn apply(&self, now: Timestamp) {
        let overrides = self.record.borrow().control.overrides.clone();
        let services = services::apply(&self.services(), self.configured, &overrides, now);
        *self.services.borrow_mut() = Rc::new(services);
    }

    fn document(&self, now: Timestamp) -> SharedState {
        let overrides = self.record.borrow().control.overrides.clone();
        SharedState::export(&self.services(), REPORTER, now).with_overrides(overrides)
    }
}
