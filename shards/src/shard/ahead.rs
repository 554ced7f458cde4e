//! Ahead: for how many buyers of which sale memory is made ready, within one bound for all.
//!
//! It must not know where that memory is.

use crate::clock::Timestamp;

/// What a sale wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Want {
    /// It has begun, and has memory ahead: its buyers would feel it go.
    pub(crate) keeps: bool,
    /// When it opens.
    pub(crate) starts_at: Timestamp,
    /// For how many buyers at most.
    pub(crate) buyers: usize,
}

/// For how many buyers each of `wants` gets memory, `most` in all: who keeps it first, then who
/// opens next.
pub(crate) fn share_out(wants: &[Want], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|&at| (!wants[at].keeps, wants[at].starts_at));
    let (mut shares, mut left) = (vec![0; wants.len()], most);
    for at in order {
        shares[at] = wants[at].buyers.min(left);
        left -= shares[at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(keeps: bool, starts_at: u64, buyers: usize) -> Want {
        Want { keeps, starts_at: Timestamp(starts_at), buyers }
    }

    #[test]
    fn who_has_begun_keeps_it_and_who_opens_next_comes_next() {
        let later = [want(false, 30, 6), want(false, 10, 5), want(false, 20, 4)];
        assert_eq!(share_out(&later, 100), [6, 5, 4]);
        assert_eq!(share_out(&later, 10), [1, 5, 4]);
        assert_eq!(share_out(&later, 7), [0, 5, 2]);
        assert_eq!(share_out(&later, 0), [0, 0, 0]);
        let running = [want(false, 10, 5), want(true, 30, 6), want(false, 5, 5)];
        assert_eq!(share_out(&running, 8), [0, 6, 2]);
        assert!(share_out(&[], 8).is_empty());
    }
}
