//! From `npm create tunnel-balancer` to `wrangler dev` and `wrangler deploy`.

use std::fs;
use std::time::Duration;

use tunnel_balancer_tests::yaml::Yaml;
use tunnel_balancer_tests::{Client, FaultyServer, Reply, Request, Service, within};

use crate::folder::{Folder, succeeded, text};

#[tokio::test]
async fn the_worker_fails_over_and_an_edit_is_live() {
    let [a, b] = [FaultyServer::start("a").await, FaultyServer::start("b").await];
    let folder = Folder::create(Service::of([&a, &b]));
    let dev = folder.dev().await;
    assert_eq!(dev.client().get("/").await.served_by(), "a", "{}", dev.log().text());
    a.outage(Reply::status(530));
    assert_eq!(dev.client().get("/").await.served_by(), "b", "{}", dev.log().text());
    a.recover();

    // Another host, which has only the second server.
    folder.write(Service::of([&b]).host("edited.test"));
    within("the edit", until_served(dev.client(), "edited.test")).await;
    assert_eq!(dev.client().get("/").await.status, 404, "{}", dev.log().text());

    // An error is reported, and the next valid version is live.
    folder.write(Yaml("servcies: {}\n".to_owned()));
    dev.log().until("the error", |log| log.contains("did you mean `services`?")).await;
    folder.write(Service::of([&b]).host("repaired.test"));
    within("the correction", until_served(dev.client(), "repaired.test")).await;
}

#[tokio::test]
async fn a_deployment_has_the_map_as_a_module() {
    let a = FaultyServer::start("a").await;
    let folder = Folder::create(Service::of([&a]));
    let deploy = || {
        let arguments = ["wrangler", "deploy", "--dry-run", "--outdir", "out"];
        folder.command("npx").args(arguments).output().expect("npx is installed")
    };
    let output = succeeded(&deploy());
    assert!(
        output.contains("services.yaml: 1 service, 1 server") && !output.contains("does not have a fallback"),
        "{output}"
    );
    let files = fs::read_dir(folder.path().join("out")).expect("an output").map(|entry| entry.expect("a file").path());
    let files: Vec<_> = files.collect();
    let module = files.iter().find(|file| file.to_string_lossy().ends_with("-services.yaml")).expect("a module");
    assert!(fs::read_to_string(module).expect("a readable file").contains(&a.url()));
    assert!(files.iter().any(|file| file.to_string_lossy().ends_with("-index_bg.wasm")), "{files:?}");

    folder.write(Yaml("servcies: {}\n".to_owned()));
    let refused = deploy();
    assert!(!refused.status.success() && text(&refused).contains("did you mean `services`?"), "{refused:?}");
}

/// Repeats a request until the service of a host responds. While wrangler replaces the Worker, a
/// connection can end without a response.
async fn until_served(client: Client, host: &str) {
    loop {
        let response = tokio::spawn(status_of(client, host.to_owned())).await;
        if response.is_ok_and(|status| status == 200) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn status_of(client: Client, host: String) -> u16 {
    client.send(Request::get("/").host(&host)).await.status
}
