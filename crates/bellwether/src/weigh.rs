//! How many bytes does a value hold? A byte limit can't guess the size of what hangs off an `Arc`.

use std::sync::Arc;

use bytes::Bytes;

/// The bytes a value holds beyond its own `size_of`: what it owns on the heap.
///
/// ```
/// use bellwether::Weigh;
/// struct User { id: u64, name: String }
/// impl Weigh for User {
///     fn weight(&self) -> usize { self.name.weight() }
/// }
/// assert_eq!(User { id: 1, name: "Ada".into() }.weight(), 3);
/// ```
pub trait Weigh {
    /// Heap bytes owned by this value.
    fn weight(&self) -> usize;

    /// Of its `size_of` and its [`weight`](Weigh::weight), the bytes that are no part of what readers get: a pointer and a
    /// length, say. A value's size, as hot and large keys are told with, goes without. Asked on the read path: it must
    /// not walk the value.
    fn around(&self) -> usize {
        0
    }
}

macro_rules! on_the_heap {
    ($($of:ty),*) => { $(impl Weigh for $of {
        fn weight(&self) -> usize { self.len() }
        fn around(&self) -> usize { size_of::<Self>() }
    })* };
}
on_the_heap!(Bytes, String, Box<str>, Arc<str>, Box<[u8]>, Arc<[u8]>);

macro_rules! nothing_more {
    ($($of:ty),*) => { $(impl Weigh for $of { fn weight(&self) -> usize { 0 } })* };
}
nothing_more!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, &'static str);

impl<T: Weigh> Weigh for Vec<T> {
    fn weight(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(Weigh::weight).sum::<usize>()
    }
    fn around(&self) -> usize {
        size_of::<Self>() + (self.capacity() - self.len()) * size_of::<T>()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(0, Weigh::weight)
    }
}

impl<T: Weigh> Weigh for Box<T> {
    fn weight(&self) -> usize {
        size_of::<T>() + (**self).weight()
    }
}

impl<A: Weigh, B: Weigh> Weigh for (A, B) {
    fn weight(&self) -> usize {
        self.0.weight() + self.1.weight()
    }
}

impl Weigh for serde_json::Value {
    fn weight(&self) -> usize {
        match self {
            serde_json::Value::String(text) => text.len(),
            serde_json::Value::Array(items) => items.iter().map(|i| size_of_val(i) + i.weight()).sum(),
            serde_json::Value::Object(map) => map.iter().map(|(k, v)| 48 + k.len() + size_of_val(v) + v.weight()).sum(),
            _ => 0,
        }
    }
}

/// A value type: anything whose weight is known. `Weigh` is there for bytes, strings and numbers.
pub trait Value: Weigh + Send + Sync + 'static {}
impl<V: Weigh + Send + Sync + 'static> Value for V {}
