//! A farm within the test itself.

use std::time::Duration;

use farmhand::transport::{Client, Gateway};
use farmhand::{Farm, FarmConfig, FarmEnd};

use crate::wait::or_hang;

/// A farm, and the way to it.
#[derive(Debug)]
pub struct InProcess {
    farm: Farm,
    gateway: Gateway,
}

impl InProcess {
    /// Starts it.
    pub async fn start(config: FarmConfig) -> Self {
        // What it does is shown to who asks for it: FARMHAND_TEST_LOG=debug.
        let filter = tracing_subscriber::EnvFilter::from_env("FARMHAND_TEST_LOG");
        let _another_test_did =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
        let farm = or_hang("a farm starts", Farm::start(config)).await.unwrap();
        let gateway = Gateway::listen(&farm).unwrap();
        Self { farm, gateway }
    }

    /// A client of it.
    pub async fn client(&self) -> Client {
        self.gateway.connect().await.unwrap()
    }

    /// Stops it, at once, and in order.
    pub async fn stop(self) {
        or_hang("a gateway stops", self.gateway.stop()).await;
        assert_eq!(or_hang("a farm stops", self.farm.stop(Duration::ZERO)).await, FarmEnd::Stopped);
    }
}
