//! `cargo run -p choose-replica -- USER "SELECT 1" postgres://127.0.0.1:5432 postgres://127.0.0.1:5433`

use std::error::Error;

use choose_replica::query;
use tokio_postgres::{Config, SimpleQueryMessage};
use tunnel_balancer_core::{Pool, RequestMeta};
use tunnel_balancer_tokio::Dispatcher;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(user), Some(sql)) = (arguments.next(), arguments.next()) else {
        return Err("expected a user, a query and servers".into());
    };
    let servers = Dispatcher::new(Pool::of(arguments)?)?;
    let mut config = Config::new();
    config.user(&user).dbname("postgres");
    let is_read = sql.trim_start().to_ascii_lowercase().starts_with("select");
    let request = if is_read { RequestMeta::read() } else { RequestMeta::write() };
    for message in query(&servers, request, &config, &sql).await?? {
        if let SimpleQueryMessage::Row(row) = message {
            let values: Vec<&str> = (0..row.len()).filter_map(|column| row.get(column)).collect();
            println!("{}", values.join(" | "));
        }
    }
    Ok(())
}
