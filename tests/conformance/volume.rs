//! Large bodies and many large bodies at once, with bounded memory of the target.
//!
//! The bound applies to the peak of the resident set (`VmHWM`). The default run is large enough to
//! reveal a buffered body; the full run takes several times as long:
//!
//! ```text
//! TUNNEL_BALANCER_FULL=1 cargo test -p tunnel-balancer-tests --test conformance -- volume --nocapture
//! ```

use std::fs;
use std::time::Instant;

use futures_util::future::join_all;
use tunnel_balancer_tests::digest::{RunningDigest, generated};
use tunnel_balancer_tests::{Action, App, Bench, Digest, Gate, Request, Service, is_full};

cases![download_uses_constant_memory, upload_uses_constant_memory, two_hundred_concurrent_posts_use_bounded_memory];

const MB: u64 = 1024 * 1024;

/// The allowed growth for one body: buffers, and garbage of the runtime.
const GROWTH_BY_ONE: u64 = 64 * MB;

/// The allowed growth for two hundred bodies at once: their buffers, less than a tenth of the
/// bodies.
const GROWTH_BY_MANY: u64 = 128 * MB;

/// The same with large buffers of the runtime.
const GROWTH_BY_MANY_LARGE: u64 = 320 * MB;

async fn download_uses_constant_memory(bench: Bench) {
    let bytes = size();
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let memory = Memory::of(&app, "download", bytes).await;
    let gate = Gate::closed();
    gate.open();
    primary.respond(Action::Download(bytes, gate));
    let mut download = app.open(Request::get("/film")).await;
    let mut received = RunningDigest::default();
    while let Some(piece) = download.piece().await {
        received.add(&piece);
    }
    assert_eq!(received.digest(), Digest::of_generated(bytes));
    memory.grew_less_than(GROWTH_BY_ONE);
}

async fn upload_uses_constant_memory(bench: Bench) {
    let bytes = size();
    let [primary] = bench.servers(["primary"]).await;
    let app = bench.start(Service::of([&primary])).await;
    let memory = Memory::of(&app, "upload", bytes).await;
    let mut upload = app.upload(Request::new("POST", "/film"), bytes).await;
    for piece in generated(bytes) {
        upload.piece(&piece).await;
    }
    assert_eq!(upload.response().await.status, 200);
    assert_eq!(primary.requests().last().expect("the upload").body, Digest::of_generated(bytes));
    memory.grew_less_than(GROWTH_BY_ONE);
}

async fn two_hundred_concurrent_posts_use_bounded_memory(bench: Bench) {
    const POSTS: u64 = 200;
    let bytes = 10 * MB;
    let [primary, replica] = bench.servers(["primary", "replica"]).await;
    let app = bench.start(Service::of([&primary, &replica])).await;
    let memory = Memory::of(&app, "200 POSTs", POSTS * bytes).await;
    let post = async || {
        let mut upload = app.upload(Request::new("POST", "/film"), bytes).await;
        let mut pieces = generated(bytes);
        upload.piece(pieces.next().expect("a first piece")).await;
        primary.until("the beginning of all uploads", |counts| counts.requests as u64 > POSTS).await;
        for piece in pieces {
            upload.piece(&piece).await;
        }
        upload.response().await
    };
    for response in join_all((0..POSTS).map(|_| post())).await {
        assert_eq!((response.status, response.served_by()), (200, "primary"));
    }
    let posts: Vec<_> = primary.requests().into_iter().filter(|request| request.method == "POST").collect();
    let whole = Digest::of_generated(bytes);
    assert_eq!(posts.len() as u64, POSTS);
    assert!(posts.iter().all(|post| post.body == whole), "a body was changed");
    assert_eq!(replica.hits(), 0);
    let is_small = bench.target().has_small_upload_buffers();
    memory.grew_less_than(if is_small { GROWTH_BY_MANY } else { GROWTH_BY_MANY_LARGE });
}

fn size() -> u64 {
    if is_full() { 1024 * MB } else { 256 * MB }
}

/// The memory of a target at the start of a transfer.
struct Memory {
    pid: u32,
    what: &'static str,
    bytes: u64,
    resident: u64,
    started: Instant,
}

impl Memory {
    /// Measures after a first request, because the runtime loads code on demand.
    async fn of(app: &App, what: &'static str, bytes: u64) -> Self {
        assert_eq!(app.get("/").await.status, 200);
        let resident = status(app.pid(), "VmRSS:").unwrap_or_default();
        Self { pid: app.pid(), what, bytes, resident, started: Instant::now() }
    }

    fn grew_less_than(&self, bound: u64) {
        let (what, seconds) = (self.what, self.started.elapsed().as_secs_f32());
        let Some(peak) = status(self.pid, "VmHWM:") else {
            println!("{what}: skipped the memory check, because there is no /proc");
            return;
        };
        let (before, peak_mb) = (self.resident / MB, peak / MB);
        println!("{what}: {} MB in {seconds:.1} s; resident {before} MB, peak {peak_mb} MB", self.bytes / MB);
        assert!(peak < self.resident + bound, "{what}: {before} MB grew to {peak_mb} MB");
    }
}

/// Reads a value of `/proc/<pid>/status` in bytes. `None` if it does not exist.
fn status(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
