//! The program's metrics for Prometheus: a recorder that the node is handed, and a thread that answers
//! `http://<metrics-bind>:<metrics-port>/metrics`.
//!
//! Only the program has it; a library that embeds the node brings its own recorder, or none.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use rejoin::{MetricsRecorder, Settings};

/// Begins to answer, if `metrics-port` is not 0. The thread ends with the program.
///
/// # Errors
/// What `metrics-bind` and `metrics-port` name cannot be listened on.
pub(crate) fn start(settings: &Settings) -> Result<Option<MetricsRecorder>, String> {
    if settings.metrics_port == 0 {
        return Ok(None);
    }
    let bind = &settings.metrics_bind;
    let ip: IpAddr = bind.parse().map_err(|_| format!("metrics-bind: '{bind}' is not an address"))?;
    let at = SocketAddr::new(ip, settings.metrics_port);
    let why = |error: &dyn std::fmt::Display| format!("Can't listen for metrics on {at}: {error}");
    let (started, when_started) = mpsc::channel();
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || answer_forever(at, &started))
        .map_err(|error| why(&error))?;
    match when_started.recv() {
        Ok(Ok(recorder)) => {
            tracing::info!("Metrics for Prometheus at http://{at}/metrics");
            Ok(Some(recorder))
        }
        Ok(Err(error)) => Err(why(&error)),
        Err(error) => Err(why(&error)),
    }
}

fn answer_forever(at: SocketAddr, started: &mpsc::Sender<Result<MetricsRecorder, io::Error>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    runtime.block_on(async {
        match PrometheusBuilder::new().with_http_listener(at).build() {
            Ok((recorder, exporter)) => {
                let _ = started.send(Ok(Arc::new(recorder)));
                if let Err(error) = exporter.await {
                    tracing::error!(?error, "the metrics are not answered any more");
                }
            }
            Err(error) => drop(started.send(Err(io::Error::other(error)))),
        }
    });
}
