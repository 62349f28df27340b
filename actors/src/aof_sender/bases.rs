//! Rung 5, the disk's part: finds a base that a full sync can begin with, and sends it.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use actix::{ActorFutureExt, AsyncContext, Handler, ResponseFuture, WrapFuture};
use rejoin_persistence::{files::bases::StoredBase, log::Bookmark, storage::StoredFile};
use rejoin_protocol::{ByteCount, Offset};
use rejoin_replication::BaseOffer;
use rejoin_transports::file_socket::FileSender;

use super::{AofSender, PIECE_BYTES, READ_BYTES, Source};
use crate::messages::aof_sender::{FindBase, FoundBase, HistoryWay, PayloadNews, SendPayload};

/// The base that was verified last. Held while one is verified: who wants the same one meanwhile waits for that.
pub(super) type Verified = Mutex<Option<Known>>;

/// What tells one base from another.
type Known = (PathBuf, Offset, ByteCount);

/// Verifies a base, unless it is the one that was verified last.
fn verify_once<E>(verified: &Verified, base: Known, verify: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let mut last = verified.lock().unwrap_or_else(PoisonError::into_inner);
    if last.as_ref() != Some(&base) {
        verify()?;
        *last = Some(base);
    }
    Ok(())
}

impl Source {
    /// The newest base, if it keeps the terms. Reads all of it where it was not verified before.
    fn find_base(&self, wanted: &FindBase) -> Result<StoredBase, String> {
        let visible = self.log.visible();
        let base = StoredBase::find(&*self.storage, &self.folders, &wanted.stream, visible)
            .map_err(|error| crate::words_of(&error))?
            .ok_or("no base of this stream is on disk")?;
        let offer = BaseOffer { offset: base.position.offset, bytes: base.bytes, rdb_version: base.version };
        wanted.terms.check(&offer, visible).map_err(|refusal| refusal.to_string())?;
        self.verify(&base)?;
        Ok(base)
    }

    /// The log since a base.
    async fn log_since(&self, base: &StoredBase, wanted: &FindBase) -> Result<Bookmark, String> {
        let from = self.log.bookmark_under(wanted.name, base.position.offset.next());
        if from.open_cursor().is_err() {
            let opened = self.open(&wanted.stream, &from).await;
            opened.map_err(|error| format!("the log since the base at {}: {error}", base.position.offset))?;
        }
        Ok(from)
    }

    fn verify(&self, base: &StoredBase) -> Result<(), String> {
        let known = (base.path.clone(), base.position.offset, base.bytes);
        verify_once(&self.verified, known, || base.verify()).map_err(|error| {
            tracing::error!(base = %base.path.display(), %error, "a base on disk is damaged and is sent to nobody");
            format!("{}: {error}", base.path.display())
        })
    }
}

impl Handler<FindBase> for AofSender {
    type Result = ResponseFuture<Result<FoundBase, String>>;

    fn handle(&mut self, wanted: FindBase, _: &mut Self::Context) -> Self::Result {
        let source = self.source.clone();
        Box::pin(async move {
            // It reads a whole file: on a thread of its own, since others are being sent to here.
            let (here, asked) = (source.clone(), wanted.clone());
            let looking = tokio::task::spawn_blocking(move || here.find_base(&asked));
            let lost = |_| Err("the look at the disk failed on our side, which is a defect".to_owned());
            let base = looking.await.unwrap_or_else(lost)?;
            let from = source.log_since(&base, &wanted).await?;
            Ok(FoundBase { base, from })
        })
    }
}

impl Handler<SendPayload> for AofSender {
    type Result = ();

    fn handle(&mut self, order: SendPayload, context: &mut Self::Context) {
        let SendPayload { replica, file, bytes, way, sent, news } = order;
        let sending = async move {
            let begun = Instant::now();
            let ended = tokio::select! {
                ended = send(&*file, bytes, way, &sent, &news) => ended,
                () = news.closed() => Err(std::io::Error::other("the replica is gone")),
            };
            let took_millis = begun.elapsed().as_millis() as u64;
            let told = match ended {
                Ok(()) => {
                    tracing::info!(%replica, %bytes, took_millis, "Base sent to replica");
                    PayloadNews::Sent
                }
                Err(error) => {
                    tracing::warn!(%replica, %bytes, took_millis, %error, "A base cannot be sent on");
                    PayloadNews::Failed(crate::words_of(&error))
                }
            };
            // Nobody listens any more: the session has ended.
            let _ = news.send(told).await;
        };
        context.spawn(sending.into_actor(self).map(|(), _, _| ()));
    }
}

async fn send(
    file: &dyn StoredFile,
    bytes: ByteCount,
    way: HistoryWay,
    sent: &Arc<AtomicU64>,
    news: &tokio::sync::mpsc::Sender<PayloadNews>,
) -> std::io::Result<()> {
    let sender = match way {
        HistoryWay::Socket(socket) => Some(socket.attach()?),
        HistoryWay::Pieces => None,
    };
    let mut at = 0;
    while at < bytes.get() {
        let left = bytes.get() - at;
        at += match (&sender, file.as_fd()) {
            (Some(sender), Some(source)) => {
                let count = send_straight(sender, source, at, left).await?;
                sent.fetch_add(count, Ordering::Release);
                count
            }
            _ => {
                let mut piece = vec![0; usize::try_from(left.min(READ_BYTES)).unwrap_or_default()];
                file.read_exact_at(at, &mut piece)?;
                let count = piece.len() as u64;
                let gone = |_| std::io::Error::other("the replica is gone");
                news.send(PayloadNews::Piece(piece)).await.map_err(gone)?;
                count
            }
        };
    }
    Ok(())
}

async fn send_straight(
    sender: &FileSender,
    source: std::os::fd::BorrowedFd<'_>,
    at: u64,
    left: u64,
) -> std::io::Result<u64> {
    match sender.send(source, at, left.min(PIECE_BYTES)).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        count => Ok(count),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    fn base(offset: u64) -> Known {
        (PathBuf::from("appendonly.aof.1.base.rdb"), Offset::new(offset), ByteCount::new(100))
    }

    #[test]
    fn a_base_that_many_want_at_once_is_verified_once() {
        let (verified, times, begun) = (Verified::default(), AtomicU64::new(0), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    begun.wait();
                    let count = || -> Result<(), ()> {
                        times.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    };
                    verify_once(&verified, base(7), count).unwrap();
                });
            }
        });
        assert_eq!(times.load(Ordering::Relaxed), 1);
        assert_eq!(verify_once(&verified, base(8), || Err("damaged")), Err("damaged"));
        assert_eq!(verify_once(&verified, base(8), || Err("still damaged")), Err("still damaged"));
        assert_eq!(verify_once(&verified, base(7), || Err("it was verified")), Ok(()));
    }
}
