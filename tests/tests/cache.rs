//! The cache of objects, as a person has it: collected behind a build that made it too large, and told of.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand_tests::{Desk, Home, until};

#[tokio::test]
async fn a_build_that_fills_the_cache_has_it_collected_and_does_not_wait() {
    let desk = Desk::new(Home::empty());
    desk.write("p/platformio.ini", "[env:native]\nplatform = native\n");
    desk.write("p/src/main.cpp", "int main() { return 0; }\n");
    let size = async || {
        let said = desk.run(["clean", "--cache", "--dry-run", "--json"]).await;
        said.expect(0).json()["bytes"].as_u64().unwrap()
    };
    let build = async |limit: &str, n: u32| {
        desk.write("p/src/main.cpp", &format!("int main() {{ return {n}; }}\n"));
        let mut command = desk.farmhand(["build", "p"]);
        command.env("FARMHAND_CACHE_BYTES", limit);
        farmhand_tests::said(command).await.expect(0);
    };
    build("5GB", 1).await;
    let filled = size().await;
    assert!(filled > 10_000, "{filled}");
    build("5GB", 2).await;
    assert!(size().await > filled, "it fits");
    build("10000", 3).await;
    until("the cache is collected", async || (size().await <= 10_000).then_some(())).await;
    // And builds go on.
    build("5GB", 3).await;
    build("5GB", 1).await;
    // A project has no say in it.
    desk.write("p/farmhand.toml", "[cache]\nbytes = \"1GB\"\n");
    desk.run(["build", "p"]).await.expect(3).mentions(&["F013", "FARMHAND_CACHE_BYTES"]);
}
