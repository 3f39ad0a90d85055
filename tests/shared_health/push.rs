//! Messages of a monitor on another machine.

use tunnel_balancer_state::{PUSH_PATH, Push, SIGNATURE_HEADER, SharedState, sign};
use tunnel_balancer_tests::miniflare::{Deployment, Miniflare, Storage};
use tunnel_balancer_tests::{Client, FaultyServer, Request, Response, Service};

use crate::yaml;

const KEY: &str = "0123456789abcdef";

#[tokio::test]
async fn an_outage_is_known_before_the_first_request() {
    for (sharing, bindings) in [("monitor", &[][..]), ("monitor", &["kv"]), ("durable_object", &["object"])] {
        let [primary, replica] = FaultyServer::start_all(["primary", "replica"]).await;
        let services = vec![Service::of([&primary, &replica]).checked()];
        let worker = Deployment {
            secrets: serde_json::json!({ "BALANCER_MONITOR_KEY": KEY }),
            // The status page is below the same prefix.
            ..Deployment::new("a", yaml(sharing, "status: { public: true }\n", services), bindings)
        };
        let miniflare = Miniflare::start(&Storage::new(), &[worker]).await;
        let client = miniflare.client("a");
        let body = message(&primary);
        let response = push(&client, &sign(KEY.as_bytes(), now(), &body), &body).await;
        assert_eq!(response.status, 200, "{sharing}: {}", response.text());
        let known: SharedState = serde_json::from_slice(&response.body).expect("a document");
        assert_eq!(known.services.len(), 1, "{}", response.text());
        assert_eq!(client.get("/").await.served_by(), "replica", "{sharing}");
        assert_eq!(primary.hits(), 0, "{sharing}");
    }
}

#[tokio::test]
async fn forged_replayed_and_old_messages_are_refused() {
    let primary = FaultyServer::start("primary").await;
    let worker = |name, secrets| Deployment {
        secrets,
        ..Deployment::new(name, yaml("monitor", "", vec![Service::of([&primary]).checked()]), &[])
    };
    let with_key = |name| worker(name, serde_json::json!({ "BALANCER_MONITOR_KEY": KEY }));
    let workers = [with_key("a"), worker("b", serde_json::json!({})), with_key("c")];
    let miniflare = Miniflare::start(&Storage::new(), &workers).await;
    let (client, body) = (miniflare.client("a"), message(&primary));
    let valid = sign(KEY.as_bytes(), now(), &body);
    let refused = [sign(b"another key 1234", now(), &body), sign(KEY.as_bytes(), now() - 60_000, &body), String::new()];
    for signature in refused {
        assert_eq!(push(&client, &signature, &body).await.status, 401, "{signature}");
    }
    let mut changed = body.clone();
    changed.extend(b" ");
    assert_eq!(push(&client, &valid, &changed).await.status, 401);
    assert_eq!(push(&client, &valid, &body).await.status, 200);
    assert_eq!(push(&client, &valid, &body).await.status, 401, "replayed");
    assert_eq!(push(&miniflare.client("c"), &valid, &body).await.status, 401, "replayed in another isolate");
    assert_eq!(push(&miniflare.client("b"), &valid, &body).await.served_by(), "primary", "no key: a request as any");
}

/// Returns a message: the server is unhealthy.
fn message(server: &FaultyServer) -> Vec<u8> {
    let state = serde_json::json!({
        "written_at": now(),
        "services": { tunnel_balancer_tests::client::HOST: { "version": 1, "servers": [
            { "server": server.name(), "probed_at": now(), "health": "unhealthy" },
        ] } },
    });
    serde_json::to_vec(&Push::new("test", serde_json::from_value(state).expect("a document"))).expect("JSON")
}

async fn push(client: &Client, signature: &str, body: &[u8]) -> Response {
    client.send(Request::post(PUSH_PATH, body.to_vec()).header(SIGNATURE_HEADER, signature)).await
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("in range")
}
