//! Health and metrics over HTTP, on a thread and a runtime of their own.
//!
//! Whatever keeps the workers of the bus busy, or stuck, does not keep anybody from asking how we are: `/livez` says that the process lives,
//! `/readyz` sends a request through the bus and says whether it came back.

mod limited;
mod pages;
mod process;
mod server;

pub(crate) use pages::Pages;
pub(crate) use process::ProcessCollector;
pub(crate) use server::HttpServer;
