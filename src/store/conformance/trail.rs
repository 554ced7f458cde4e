//! The operators' trail.

use seckill_shards::ids::UserId;

use super::{at, first, new_user};
use crate::store::{Act, Deed, Doer, Noted, ONCE_MS, Page, Store, TRAIL_MS};

fn act(request: u8, ms: u64, by: Doer) -> Act {
    Act {
        at: at(ms),
        request: [request; 16],
        by,
        deed: Deed::new("paused", "activity", Some(7)),
        detail: String::new(),
        is_known: true,
    }
}

async fn trail(store: &dyn Store) -> Vec<Noted> {
    store.trail(first(100)).await.unwrap()
}

pub(in crate::store) async fn acts_are_listed_newest_first_as_they_were(store: &dyn Store) {
    assert!(trail(store).await.is_empty());
    let ann = store.create_user(new_user("ann")).await.unwrap().id;
    let [ann, nobody] = [ann, UserId(99)].map(|user| Doer::Account { user, gateway: 1_023 });
    let acts = [
        act(1, 1, ann),
        Act { detail: "5 units, 'half' ❤\n".to_owned(), ..act(2, 3, ann) },
        Act { is_known: false, deed: Deed::new("created", "product", None), ..act(3, 2, nobody) },
        Act { deed: Deed::new("retired", "gateway", Some(0)), ..act(4, 4, Doer::CommandLine) },
    ];
    for act in &acts {
        store.note(act.clone()).await.unwrap();
    }
    let found = trail(store).await;
    assert!(found.is_sorted_by(|one, next| one.number > next.number));
    let names = found.iter().map(|it| it.username.as_deref()).collect::<Vec<_>>();
    assert_eq!(names, [None, None, Some("ann"), Some("ann")]);
    assert_eq!(found.iter().map(|it| &it.act).rev().collect::<Vec<_>>(), acts.each_ref());

    let page = async |after, limit| store.trail(Page { after, limit }).await.unwrap();
    assert_eq!(page(None, 3).await, found[..3]);
    assert_eq!(page(Some(found[2].number), 3).await, found[3..]);
    assert!(page(Some(found[3].number), 3).await.is_empty() && page(None, 0).await.is_empty());
}

pub(in crate::store) async fn an_act_is_noted_once_for_as_long_as_its_key_counts(
    store: &dyn Store,
) {
    let noted = async |request, ms| {
        store.note(act(request, ms, Doer::CommandLine)).await.unwrap();
        trail(store).await.len()
    };
    assert_eq!(noted(1, 5).await, 1);
    assert_eq!(noted(1, 5).await, 1, "an act whose writing was not heard of is written again");
    assert_eq!(noted(1, 4 + ONCE_MS).await, 1);
    assert_eq!(noted(2, 6).await, 2);
    assert_eq!(noted(1, 5 + ONCE_MS).await, 3, "the key is another request's by then");
}

pub(in crate::store) async fn old_acts_are_swept_and_their_numbers_stay_theirs(store: &dyn Store) {
    for (request, ms) in [(1, 0), (2, 10)] {
        store.note(act(request, ms, Doer::CommandLine)).await.unwrap();
    }
    let before = trail(store).await;
    store.sweep(at(TRAIL_MS)).await.unwrap();
    assert_eq!(trail(store).await, before[..1]);
    store.sweep(at(TRAIL_MS + 10)).await.unwrap();
    assert!(trail(store).await.is_empty());
    store.note(act(3, TRAIL_MS, Doer::CommandLine)).await.unwrap();
    assert!(trail(store).await[0].number > before[0].number);
}
