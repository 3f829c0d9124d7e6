//! The thread that serves HTTP, and has time for what no worker should do.

use std::io;
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::limited::Limited;

/// How long open requests may take to end when we stop. Clients of `/metrics` read a few kilobytes.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How often free memory goes back to the system. A worker that needs memory meanwhile waits for it.
const MEMORY_INTERVAL: Duration = Duration::from_secs(5);

/// A running HTTP server; [`stop`](Self::stop) ends it and waits for its thread.
#[derive(Debug)]
pub(crate) struct HttpServer {
    token: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Serves `router` on a socket that is bound already, so that the only thing left to fail is the thread itself.
    ///
    /// # Errors
    /// When the system gives no thread, or refuses to make the socket non-blocking.
    pub(crate) fn start(listener: TcpListener, router: Router) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let token = CancellationToken::new();
        let stopped = token.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            Limited::new(tokio::net::TcpListener::from_std(listener)?)
        };
        let serve = async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(stopped.clone().cancelled_owned());
            tokio::select! {
                served = served.into_future() => if let Err(error) = served {
                    tracing::error!(%error, "HTTP server failed");
                },
                () = async { stopped.cancelled().await; tokio::time::sleep(STOP_GRACE).await } => {}
                () = keep_memory_low() => {}
            }
        };
        let thread = std::thread::Builder::new().name("myelin-http".to_owned()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { token, thread: Some(thread) })
    }

    /// Stops answering and waits for the thread, at most [`STOP_GRACE`].
    pub(crate) fn stop(mut self) {
        self.token.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread panicked");
        }
    }
}

/// Gives back what the allocator keeps free, while this process does something: an idle one is left asleep.
async fn keep_memory_low() {
    let mut resident_before = 0;
    loop {
        tokio::time::sleep(MEMORY_INTERVAL).await;
        let resident = crate::system::resident_bytes().unwrap_or_default();
        if resident != resident_before {
            myelin_malloc::give_back();
            resident_before = crate::system::resident_bytes().unwrap_or_default();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.token.cancel();
    }
}
