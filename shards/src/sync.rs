//! Where atomics and the concurrent map come from: the standard library and dashmap, or loom while
//! its models run.
//! It must not know what they are used for; nothing else in the crate names either source.

#[cfg(not(loom))]
pub(crate) use std::{hint, sync::atomic};

#[cfg(not(loom))]
pub(crate) mod map {
    pub(crate) use dashmap::DashMap;
    pub(crate) use dashmap::mapref::entry::Entry;
}

#[cfg(loom)]
pub(crate) use loom::hint;

/// loom's atomics, with loads that cannot be overlooked.
///
/// Of each atomic, loom 0.7.3 remembers one last access. A thread that loads and then exchanges
/// finds its own load there, never that of a reader before it, so the schedule in which the
/// exchange comes first is not run and a model passes unexplored. Here a load is an exchange that
/// changes nothing: it conflicts with every access, and every schedule is run. It never returns an
/// old value; sequentially consistent code, which all users of this file are, sees none either.
#[cfg(loom)]
pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.fetch_add(0, order)
                }

                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_add(value, order)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    next: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(current, next, success, failure)
                }
            }
        };
    }

    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);

    impl AtomicU32 {
        pub(crate) fn fetch_update(
            &self,
            success: Ordering,
            failure: Ordering,
            mut next: impl FnMut(u32) -> Option<u32>,
        ) -> Result<u32, u32> {
            let mut seen = self.load(failure);
            while let Some(next) = next(seen) {
                match self.compare_exchange(seen, next, success, failure) {
                    Ok(before) => return Ok(before),
                    Err(now) => seen = now,
                }
            }
            Err(seen)
        }
    }
}

/// A map with dashmap's calls, as one lock of loom's: what dashmap promises of one key, and no more
/// of two keys than its coarsest division would.
#[cfg(loom)]
pub(crate) mod map {
    use std::collections::HashMap;
    use std::fmt;
    use std::hash::{BuildHasher, Hash};
    use std::ops::Deref;

    use loom::sync::{Mutex, MutexGuard};

    pub(crate) struct DashMap<K, V, S>(Mutex<HashMap<K, V, S>>);

    impl<K, V, S> fmt::Debug for DashMap<K, V, S> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("DashMap").finish_non_exhaustive()
        }
    }

    impl<K: Copy + Eq + Hash, V: Clone, S: BuildHasher> DashMap<K, V, S> {
        pub(crate) fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
            Self(Mutex::new(HashMap::with_capacity_and_hasher(capacity, hasher)))
        }

        fn lock(&self) -> MutexGuard<'_, HashMap<K, V, S>> {
            self.0.lock().expect("nobody panics under this lock")
        }

        pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V, S> {
            let map = self.lock();
            if map.contains_key(&key) {
                Entry::Occupied(Occupied { map, key })
            } else {
                Entry::Vacant(Vacant { map, key })
            }
        }

        pub(crate) fn get(&self, key: &K) -> Option<Ref<V>> {
            self.lock().get(key).cloned().map(Ref)
        }

        pub(crate) fn remove(&self, key: &K) -> Option<V> {
            self.lock().remove(key)
        }

        pub(crate) fn iter(&self) -> std::vec::IntoIter<Pair<K, V>> {
            let map = self.lock();
            let pairs = map.iter().map(|(key, value)| Pair(*key, value.clone()));
            pairs.collect::<Vec<_>>().into_iter()
        }

        pub(crate) fn len(&self) -> usize {
            self.lock().len()
        }

        pub(crate) fn clear(&self) {
            self.lock().clear();
        }

        pub(crate) fn shrink_to_fit(&self) {}
    }

    /// A copy: nobody holds a reference beyond a call.
    pub(crate) struct Ref<V>(V);

    impl<V> Deref for Ref<V> {
        type Target = V;

        fn deref(&self) -> &V {
            &self.0
        }
    }

    pub(crate) struct Pair<K, V>(K, V);

    impl<K, V> Pair<K, V> {
        pub(crate) fn key(&self) -> &K {
            &self.0
        }

        pub(crate) fn value(&self) -> &V {
            &self.1
        }
    }

    pub(crate) enum Entry<'a, K, V, S> {
        Occupied(Occupied<'a, K, V, S>),
        Vacant(Vacant<'a, K, V, S>),
    }

    pub(crate) struct Occupied<'a, K, V, S> {
        map: MutexGuard<'a, HashMap<K, V, S>>,
        key: K,
    }

    impl<K: Eq + Hash, V, S: BuildHasher> Occupied<'_, K, V, S> {
        pub(crate) fn get(&self) -> &V {
            &self.map[&self.key]
        }

        pub(crate) fn get_mut(&mut self) -> &mut V {
            self.map.get_mut(&self.key).expect("it is occupied")
        }

        pub(crate) fn remove(mut self) {
            self.map.remove(&self.key);
        }
    }

    pub(crate) struct Vacant<'a, K, V, S> {
        map: MutexGuard<'a, HashMap<K, V, S>>,
        key: K,
    }

    impl<K: Eq + Hash, V, S: BuildHasher> Vacant<'_, K, V, S> {
        pub(crate) fn insert(mut self, value: V) {
            self.map.insert(self.key, value);
        }
    }
}
