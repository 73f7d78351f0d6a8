//! Which locks? The real ones, or those of a model checker that tries every interleaving.

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::Mutex;

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::atomic;

#[cfg(not(feature = "shuttle"))]
pub(crate) use parking_lot::Mutex;

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::atomic;

/// Locks, whatever the lock. A panic under a lock is a bug of ours, and its state is not trusted.
#[cfg(feature = "shuttle")]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> shuttle::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no panic under a lock")
}

/// Locks, whatever the lock.
#[cfg(not(feature = "shuttle"))]
#[inline]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> parking_lot::MutexGuard<'_, T> {
    mutex.lock()
}
