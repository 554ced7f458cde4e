//! What journals, Redis and the store have of one sale that several gateways share, held against
//! each other and against what every client was told.
//!
//! Pure: it must not know how they were read.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::{self, Account, Found, Terms};
use crate::driver::Sent;
use crate::order::{PaymentStatus, Status};

/// All books of one sale, read after its load.
#[derive(Clone, Debug)]
pub struct Books {
    /// Of each gateway that is there, every buyer's list: the orders for which it speaks by their
    /// journals, the others' by the store.
    pub lists: Vec<Vec<Found>>,
    /// By number, which of them speaks for a gateway: itself, or whoever has adopted it.
    pub speakers: BTreeMap<usize, usize>,
    /// By number, the account of each gateway's journal that knows of the sale.
    pub accounts: BTreeMap<usize, Account>,
    /// What Redis has.
    pub lent: Lent,
}

impl Books {
    /// The orders as those show them who speak for their gateways.
    pub fn own(&self) -> impl Iterator<Item = &Found> {
        let speaker = |found: &Found| self.speakers.get(&found.order.gateway()).copied();
        let lists = self.lists.iter().enumerate();
        lists.flat_map(move |(at, list)| list.iter().filter(move |it| speaker(it) == Some(at)))
    }
}

/// What Redis has of one sale.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lent {
    /// Whether units are lent and places confirmed.
    pub live: bool,
    /// Units of the sale.
    pub stocked: u64,
    /// Units of them that are lent.
    pub leased: u64,
    /// Units lent and units placed, by gateway.
    pub holdings: BTreeMap<usize, (u64, u64)>,
    /// The confirmed places.
    pub places: BTreeSet<Place>,
}

/// A confirmed place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Whose it is, by the id at the head of their token.
    pub user: String,
    /// For which order.
    pub order: String,
    /// Units.
    pub quantity: u32,
    /// The gateway that has the order.
    pub gateway: usize,
}

impl Lent {
    /// From the fields and values of the sale's hash.
    ///
    /// # Panics
    /// Where it is not as the functions write it.
    #[track_caller]
    #[must_use]
    pub fn of(hash: &[String]) -> Self {
        let (mut lent, mut epochs, mut places) = (Self::default(), BTreeMap::new(), Vec::new());
        for field in hash.chunks_exact(2) {
            let (name, value) = (field[0].as_str(), field[1].as_str());
            match name.split_once(':') {
                None if name == "live" => lent.live = value == "1",
                None if name == "stocked" => lent.stocked = number(value),
                None if name == "leased" => lent.leased = number(value),
                Some(("g", gateway)) => {
                    // Epoch, number, units lent, units placed, and what is not looked at.
                    let words: Vec<&str> = value.split(' ').collect();
                    let (gateway, holding) =
                        (number(gateway), (number(words[2]), number(words[3])));
                    lent.holdings.insert(gateway, holding);
                    epochs.insert(gateway, number::<u8>(words[0]));
                }
                Some(("b", user)) => {
                    places.extend(value.split(' ').map(|place| Place::of(user, place)));
                }
                Some(_) | None => {}
            }
        }
        // Those of an older epoch count no more, and go when their buyer is looked at next.
        let counts = |(place, epoch): &(Place, u8)| epochs.get(&place.gateway) == Some(epoch);
        lent.places = places.into_iter().filter(counts).map(|(place, _)| place).collect();
        lent
    }
}

impl Place {
    /// A place, and the epoch in which its gateway took it.
    #[track_caller]
    fn of(user: &str, words: &str) -> (Self, u8) {
        let words: Vec<&str> = words.split(',').collect();
        let [order, quantity, gateway, epoch] = words[..] else { panic!("no place: {words:?}") };
        let (user, order) = (user.to_owned(), order.to_owned());
        let (quantity, gateway) = (number(quantity), number(gateway));
        (Self { user, order, quantity, gateway }, number(epoch))
    }
}

#[track_caller]
fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap_or_else(|| panic!("{text:?} is no number"))
}

/// Two books that do not agree, or a promise that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// A client was told something else.
    Told(checker::Difference),
    /// An order is still being confirmed.
    Unsettled(String),
    /// A gateway shows another's order otherwise than whoever speaks for it, or one of them does not
    /// have it.
    Unlike {
        /// The list of the one that is asked.
        list: usize,
        /// The order.
        order: String,
    },
    /// What Redis says is lent is not what it says each gateway has, or is more than there is.
    Lent(Lent),
    /// A gateway's journal has other units than Redis says.
    Units {
        /// The gateway.
        gateway: usize,
        /// By its journal; none where that does not know of the sale.
        journal: Option<u64>,
        /// By Redis; none where it does not know the gateway.
        redis: Option<u64>,
    },
    /// An order that can be paid, or is, has no such place.
    Unplaced(Place),
    /// A place is no such order's.
    Stray(Place),
}

/// Everything that is wrong once a load is over and its faults have ended; `users` are the ids of
/// the buyers.
#[must_use]
pub fn compare(terms: Terms, users: &[String], sent: &[Sent], books: &Books) -> Vec<Difference> {
    let found: Vec<Found> = books.own().cloned().collect();
    let account = sum(&books.accounts, &books.lent);
    let told = checker::compare(terms, sent, &found, account);
    let mut differences: Vec<_> = told.into_iter().map(Difference::Told).collect();
    let unsettled = found.iter().filter(|it| it.order.status == Status::Accepted);
    differences.extend(unsettled.map(|it| Difference::Unsettled(it.order.id.clone())));
    for (list, shown) in books.lists.iter().enumerate() {
        let unlike = unlike(&found, shown);
        differences.extend(unlike.map(|order| Difference::Unlike { list, order }));
    }
    differences.extend(lent(&books.accounts, &books.lent));
    differences.extend(places(users, &found, &books.lent));
    differences
}

/// The account of all gateways and of what none of them has.
fn sum(accounts: &BTreeMap<usize, Account>, lent: &Lent) -> Account {
    let free = lent.stocked.saturating_sub(lent.leased);
    let none = Account {
        stock_total: free,
        sold: 0,
        held: 0,
        reserved: 0,
        returned: 0,
        remaining: free,
        over_limit_users: 0,
        overdue_unpaid: 0,
        balanced: true,
    };
    accounts.values().fold(none, |sum, it| Account {
        stock_total: sum.stock_total + it.stock_total,
        sold: sum.sold + it.sold,
        held: sum.held + it.held,
        reserved: sum.reserved + it.reserved,
        returned: sum.returned + it.returned,
        remaining: sum.remaining + it.remaining,
        over_limit_users: sum.over_limit_users + it.over_limit_users,
        overdue_unpaid: sum.overdue_unpaid + it.overdue_unpaid,
        balanced: sum.balanced && it.balanced,
    })
}

/// The orders that a list shows otherwise than those who speak for their gateways.
fn unlike<'a>(found: &'a [Found], list: &'a [Found]) -> impl Iterator<Item = String> + 'a {
    let shown = |found: &'a [Found]| -> BTreeMap<&'a str, _> {
        let facts = |Found { buyer, order }: &'a Found| {
            let payments = order.payments.iter().map(|it| (it.id.as_str(), it.status));
            let payments: BTreeMap<&str, PaymentStatus> = payments.collect();
            (order.id.as_str(), (*buyer, order.quantity, order.status, payments))
        };
        found.iter().map(facts).collect()
    };
    let (own, others) = (shown(found), shown(list));
    let ids: BTreeSet<&str> = own.keys().chain(others.keys()).copied().collect();
    ids.into_iter().filter(move |id| own.get(id) != others.get(id)).map(str::to_owned)
}

/// Units lent, by Redis and by the journals.
fn lent(accounts: &BTreeMap<usize, Account>, lent: &Lent) -> Vec<Difference> {
    let mut differences = Vec::new();
    let units: u64 = lent.holdings.values().map(|(units, _)| units).sum();
    if !lent.live || units != lent.leased || lent.leased > lent.stocked {
        differences.push(Difference::Lent(lent.clone()));
    }
    let gateways: BTreeSet<usize> = accounts.keys().chain(lent.holdings.keys()).copied().collect();
    for gateway in gateways {
        let journal = accounts.get(&gateway).map(|account| account.stock_total);
        let redis = lent.holdings.get(&gateway).map(|(units, _)| *units);
        // Who never had a part in the sale has no units, by whichever book.
        if redis.unwrap_or(0) != journal.unwrap_or(0) {
            differences.push(Difference::Units { gateway, journal, redis });
        }
    }
    differences
}

/// Exactly the orders that can be paid, or are, have their places.
fn places(users: &[String], found: &[Found], lent: &Lent) -> Vec<Difference> {
    let is_placed = |it: &&Found| matches!(it.order.status, Status::AwaitingPayment | Status::Paid);
    let place = |it: &Found| Place {
        user: users[it.buyer].clone(),
        order: it.order.id.clone(),
        quantity: it.order.quantity,
        gateway: it.order.gateway(),
    };
    let places: BTreeSet<Place> = found.iter().filter(is_placed).map(place).collect();
    let unplaced = places.difference(&lent.places).cloned().map(Difference::Unplaced);
    let stray = lent.places.difference(&places).cloned().map(Difference::Stray);
    unplaced.chain(stray).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Answer, Ask};
    use crate::order::{Order, Payment};

    const TERMS: Terms = Terms { stock: 10, limit: 1 };

    /// The id of a gateway's order.
    fn id(gateway: u64, number: u64) -> String {
        ((gateway << 53) + number).to_string()
    }

    fn found(buyer: usize, id: String, status: Status) -> Found {
        let order =
            Order { id, activity: "7".to_owned(), quantity: 1, status, payments: Vec::new() };
        Found { buyer, order }
    }

    fn account(stock_total: u64, held: u64, sold: u64) -> Account {
        let none = sum(&BTreeMap::new(), &Lent::default());
        Account { stock_total, held, sold, remaining: stock_total - held - sold, ..none }
    }

    /// Two gateways: one has a payable and a cancelled order, the other, which the first has adopted, a
    /// paid one; three units are nobody's.
    fn sale() -> (Vec<String>, Vec<Sent>, Books) {
        let paid = Payment { id: "5".to_owned(), status: PaymentStatus::Succeeded };
        let last = found(1, id(1, 1), Status::Paid);
        let orders = vec![
            found(0, id(0, 1), Status::AwaitingPayment),
            found(1, id(0, 2), Status::Cancelled),
            Found { order: Order { payments: vec![paid], ..last.order }, ..last },
        ];
        let sent = orders.iter().map(|it| {
            let order = Order { status: Status::Accepted, ..it.order.clone() };
            let ask = Ask::Buy { key: it.order.id.clone(), quantity: 1 };
            let (slug, order) = (None, Some(order));
            let answer = Some(Answer { status: 202, slug, order, is_in_order: true });
            Sent { buyer: it.buyer, ask, answer }
        });
        let words = [
            ("live", "1"),
            ("stocked", "10"),
            ("leased", "7"),
            ("era", "3.00ff"),
            ("g:0", "1 12 5 1 0 0;;;"),
            ("g:1", "2 9 2 1 0 0;;;"),
            ("b:70", &*format!("{},1,0,1", id(0, 1))),
            // Two places: one is what the adopted gateway had.
            ("b:71", &*format!("{},1,1,1 {},1,1,2", id(1, 9), id(1, 1))),
        ];
        let hash: Vec<_> = words.iter().flat_map(|it| [it.0.to_owned(), it.1.to_owned()]).collect();
        let accounts = [(0, account(5, 1, 0)), (1, account(2, 0, 1))].into();
        let (lists, speakers) =
            (vec![orders.clone(), orders.clone()], [(0, 0), (1, 0), (2, 1)].into());
        let books = Books { lists, speakers, accounts, lent: Lent::of(&hash) };
        (vec!["70".to_owned(), "71".to_owned()], sent.collect(), books)
    }

    #[test]
    fn books_that_agree_have_no_difference() {
        let (users, sent, books) = sale();
        assert_eq!(compare(TERMS, &users, &sent, &books), []);
    }

    #[test]
    fn canary_each_book_that_was_tampered_with_is_seen() {
        let check = |what: &str, tamper: fn(&mut Books)| {
            let (users, sent, mut books) = sale();
            tamper(&mut books);
            assert_ne!(compare(TERMS, &users, &sent, &books), [], "{what}");
        };
        check("the store lost an order", |books| drop(books.lists[1].remove(0)));
        check("the store has an order as it was", |books| {
            books.lists[1][2].order.status = Status::AwaitingPayment;
        });
        check("the store has a payment as it was", |books| {
            books.lists[1][2].order.payments[0].status = PaymentStatus::Started;
        });
        check("nobody speaks for a gateway", |books| {
            books.speakers.remove(&1);
        });
        check("a gateway speaks for another that it has not adopted", |books| {
            books.lists[1][2].order.status = Status::AwaitingPayment;
            books.speakers.insert(1, 1);
        });
        check("an adopted gateway's journal is not there", |books| {
            books.accounts.remove(&1);
        });
        check("an order is being confirmed", |books| {
            books.lists.iter_mut().for_each(|it| it[0].order.status = Status::Accepted);
        });
        check("a unit is lent to nobody", |books| books.lent.leased += 1);
        check("a unit is lent twice", |books| {
            books.accounts.insert(0, account(6, 1, 0));
        });
        check("Redis knows of fewer units", |books| {
            books.lent.holdings.insert(0, (4, 1));
            books.lent.leased = 6;
        });
        check("Redis lends nothing", |books| books.lent.live = false);
        check("Redis does not know a gateway", |books| {
            books.lent.holdings.remove(&1);
            books.lent.leased = 5;
        });
        check("a place is missing", |books| drop(books.lent.places.pop_first()));
        check("a place is there twice", |books| {
            let place = books.lent.places.first().expect("there are two").clone();
            books.lent.places.insert(Place { gateway: 1, ..place });
        });
        check("a journal holds another unit", |books| {
            books.accounts.insert(1, account(2, 1, 1));
        });
    }

    /// Twice their limit, at two gateways: each journal and each list is right by itself.
    #[test]
    fn canary_a_shopper_with_two_payable_orders_is_seen() {
        let (users, sent, mut books) = sale();
        for list in &mut books.lists {
            list[1].order.status = Status::AwaitingPayment;
        }
        books.accounts.insert(0, account(5, 2, 0));
        let place = Place { user: users[1].clone(), order: id(0, 2), quantity: 1, gateway: 0 };
        books.lent.places.insert(place);
        let twice = checker::Difference::Overbought { buyer: 1, units: 2 };
        assert_eq!(compare(TERMS, &users, &sent, &books), [Difference::Told(twice)]);
    }
}
