//! `--demo`: products, shoppers, an operator and sales that open soon.
//!
//! Passwords are random and printed once; the accounts of a data directory are made once.

use seckill_shards::clock::Timestamp;
use seckill_shards::ids::ProductId;

use super::{say, user};
use crate::api::hash_password;
use crate::control::Control;
use crate::store::{NewActivity, NewProduct, NewUser, Refusal, Roles, Store, StoreError};

const SHOPPERS: [&str; 3] = ["ada", "grace", "linus"];
const OPERATOR: &str = "operator";
const CURRENCY: [u8; 3] = *b"USD";

/// A sale of the demo: when it opens after the start, and what it sells.
struct Sale {
    title: &'static str,
    product: &'static str,
    description: &'static str,
    opens_after_ms: u64,
    units: u32,
    per_user_limit: u32,
    price: i64,
    list_price: i64,
}

const SALES: [Sale; 3] = [
    Sale {
        title: "Headphones at a third",
        product: "Wireless headphones",
        description: "Quiet, light, thirty hours on a charge.",
        opens_after_ms: 20_000,
        units: 1_000,
        per_user_limit: 1,
        price: 6_900,
        list_price: 19_900,
    },
    Sale {
        title: "Ten kettles for ten dollars",
        product: "Gooseneck kettle",
        description: "Pours where you point it.",
        opens_after_ms: 60_000,
        units: 10,
        per_user_limit: 1,
        price: 1_000,
        list_price: 5_900,
    },
    Sale {
        title: "A storm of umbrellas",
        product: "Storm umbrella",
        description: "For load tests: plenty of them, and many to a buyer.",
        opens_after_ms: 0,
        units: 10_000_000,
        per_user_limit: 10_000,
        price: 1_500,
        list_price: 3_000,
    },
];
const PAY_WINDOW_MS: u64 = 120_000;
const SALE_LASTS_MS: u64 = 24 * 3_600 * 1_000;

/// Fills the store, publishes the sales and prints who may sign in.
pub(super) async fn fill(store: &dyn Store, control: &Control) -> anyhow::Result<()> {
    let mut accounts = vec![(OPERATOR, user::roles("operator"))];
    accounts.extend(SHOPPERS.map(|name| (name, Roles::SHOPPER)));
    for (name, roles) in accounts {
        match create_account(store, name, roles).await? {
            Some(password) => say(&format!("demo account {name:<9} password {password}"))?,
            None => say(&format!("demo account {name:<9} is there from an earlier start"))?,
        }
    }
    let now = control.now();
    for sale in &SALES {
        publish(store, sale, now).await?;
    }
    control.catch_up().await?;
    Ok(())
}

/// A new account's password; none where the name is taken already.
async fn create_account(
    store: &dyn Store,
    name: &str,
    roles: Roles,
) -> anyhow::Result<Option<String>> {
    let random: [u8; 9] = crate::random_bytes()?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let user = NewUser {
        username: name.to_owned(),
        display_name: name.to_owned(),
        password_hash: Some(hash_password(&password)),
        roles,
    };
    match store.create_user(user).await {
        Ok(_) => Ok(Some(password)),
        Err(StoreError::Refused(Refusal::Taken)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn publish(store: &dyn Store, sale: &Sale, now: Timestamp) -> Result<(), StoreError> {
    let product = NewProduct {
        title: sale.product.to_owned(),
        description: sale.description.to_owned(),
        image_url: String::new(),
        price: sale.list_price,
        currency: CURRENCY,
        stock: i64::from(sale.units),
    };
    let product: ProductId = store.create_product(product, None).await?.into_inner().id;
    let starts_at = now.plus_ms(sale.opens_after_ms);
    let activity = NewActivity {
        title: sale.title.to_owned(),
        product,
        sale_price: sale.price,
        stocked: sale.units,
        per_user_limit: sale.per_user_limit,
        pay_window_ms: PAY_WINDOW_MS,
        starts_at,
        ends_at: starts_at.plus_ms(SALE_LASTS_MS),
        admission: false,
    };
    let activity = store.create_activity(activity, None).await?.into_inner().id;
    store.publish(activity, None).await?;
    Ok(())
}
