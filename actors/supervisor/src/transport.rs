//! How a front end and a farm reach each other: the folder's lock, the socket in it, and both ends of a connection.
//!
//! - [`HomeLock`] decides which process is the farm of a folder.
//! - [`Gateway`] serves connections: those to the socket, and those within the process.
//! - [`Client`] is the other end, over any stream.
//!
//! Frames are those of [`farmhand_api`]. Nothing here knows an actor: whoever answers is an [`Answerer`].

mod client;
mod connection;
mod frames;
mod gateway;
mod lock;
mod socket;

use async_trait::async_trait;
use farmhand_api::{Answer, Item, Problem, Request};
use tokio::sync::mpsc;

pub use client::{Client, ClientError, Replies, Reply};
pub use gateway::{Gateway, ListenError};
pub use lock::{Holder, HomeHeld, HomeLock};
pub use socket::connect;

/// Who answers requests: a farm.
#[async_trait]
pub trait Answerer: Send + Sync + 'static {
    /// Answers a request. What streams goes to `items` first, as fast as it is taken; a closed receiver ends the
    /// stream.
    async fn answer(&self, request: Request, items: mpsc::Sender<Item>) -> Result<Answer, Problem>;
}

#[cfg(test)]
mod tests;
