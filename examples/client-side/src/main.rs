//! `cargo run -p client-side -- http://127.0.0.1:9001 http://127.0.0.1:9002`

use std::error::Error;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = client_side::client(std::env::args().skip(1))?;
    loop {
        match client_side::get(&client, "/").await {
            Ok(page) => println!("{}", page.trim()),
            Err(error) => println!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
