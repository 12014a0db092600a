use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// Items made by a background thread, a few ahead of their use and in order.
///
/// The channel is bounded, so a slow consumer holds the producer back instead of filling memory; dropping this stops it.
#[derive(Debug)]
pub struct Prefetch<T> {
    items: Receiver<Result<T>>,
    worker: Option<JoinHandle<()>>,
    left: usize,
}

/// Items ready and waiting at most; one more is in the making.
const AHEAD: usize = 2;

impl<T: Send + 'static> Prefetch<T> {
    /// Calls `make` with 0, 1, .. `count` - 1 on a thread of its own.
    pub(crate) fn new(count: usize, mut make: impl FnMut(usize) -> Result<T> + Send + 'static) -> Self {
        let (sender, items) = sync_channel(AHEAD);
        let worker = std::thread::spawn(move || {
            for index in 0..count {
                let item = make(index);
                let failed = item.is_err();
                // The other side is gone, or will not ask again after an error.
                if sender.send(item).is_err() || failed {
                    return;
                }
            }
        });
        Self { items, worker: Some(worker), left: count }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        match self.items.recv() {
            Ok(Ok(item)) => {
                self.left -= 1;
                Some(Ok(item))
            }
            Ok(Err(error)) => {
                self.left = 0;
                Some(Err(error))
            }
            // The worker ended early without a word: it panicked.
            Err(_) => {
                self.left = 0;
                let panicked = self.worker.take().is_some_and(|w| w.join().is_err());
                let cause = if panicked { "panicked" } else { "stopped early" };
                Some(Err(Error::new(ErrorKind::Data, format!("the thread that reads the data {cause}"))))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_arrive_in_order() {
        let items: Vec<usize> = Prefetch::new(10, |i| Ok(i * i)).map(Result::unwrap).collect();
        assert_eq!(items, (0..10).map(|i| i * i).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_it() {
        let mut items = Prefetch::new(5, |i| if i == 1 { Err(Error::data("broken")) } else { Ok(i) });
        assert_eq!(items.next().unwrap().unwrap(), 0);
        assert_eq!(items.next().unwrap().unwrap_err().to_string(), "broken");
        assert!(items.next().is_none());
    }

    #[test]
    fn a_panic_is_an_error_and_not_a_hang() {
        let mut items = Prefetch::<usize>::new(5, |_| panic!("expected by this test"));
        assert!(items.next().unwrap().unwrap_err().to_string().contains("panicked"));
        assert!(items.next().is_none());
    }

    #[test]
    fn dropping_it_early_stops_the_worker() {
        let mut items = Prefetch::new(usize::MAX, Ok);
        assert_eq!(items.next().unwrap().unwrap(), 0);
    }
}
