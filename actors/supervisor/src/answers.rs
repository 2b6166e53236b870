//! The farm answers a front end.

use async_trait::async_trait;
use farmhand_api::{Answer, Item, Problem, Request};
use tokio::sync::mpsc;

use crate::Api;
use crate::transport::Answerer;

#[async_trait]
impl Answerer for Api {
    async fn answer(&self, request: Request, items: mpsc::Sender<Item>) -> Result<Answer, Problem> {
        Self::answer(self, request, items).await
    }
}
