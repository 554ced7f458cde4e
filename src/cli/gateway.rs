//! `seckill gateway list`: who shares the store.

use std::process::ExitCode;

use seckill_shards::clock::{Clock, MachineClock, Timestamp};

use super::{Place, Unusable, open_present_store, runtime, say};
use crate::store::GatewayRow;

pub(super) fn list(place: &Place) -> anyhow::Result<ExitCode> {
    let store = open_present_store(&place.config()?)?;
    let gateways = runtime()?.block_on(store.announce(None));
    let now = MachineClock::start().now();
    for gateway in gateways.map_err(|error| Unusable::from(&error))? {
        say(&line(&gateway, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(gateway: &GatewayRow, now: Timestamp) -> String {
    let GatewayRow { number, epoch, address, seen_at, as_of } = gateway;
    if address.is_empty() {
        return format!("gateway {number}, epoch {epoch}: alone, or not seen yet");
    }
    let seen_s = now.ms_since(*seen_at) / 1_000;
    let as_of = match as_of {
        Timestamp(0) => "not known".to_owned(),
        Timestamp(ms) => instant(*ms),
    };
    format!("gateway {number}, epoch {epoch}: {address}, seen {seen_s} s ago, as of {as_of}")
}

fn instant(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{instant:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_a_gateway_is_and_what_the_store_has_of_it() {
        let address = "http://10.0.0.1:9091".to_owned();
        let seen_at = Timestamp(1_795_737_600_000);
        let gateway = GatewayRow { number: 3, epoch: 1, address, seen_at, as_of: seen_at };
        let now = seen_at.plus_ms(2_999);
        assert_eq!(
            line(&gateway, now),
            "gateway 3, epoch 1: http://10.0.0.1:9091, seen 2 s ago, as of 2026-11-27T00:00:00.000Z"
        );
        let fresh = GatewayRow { as_of: Timestamp(0), ..gateway.clone() };
        assert!(line(&fresh, now).ends_with("as of not known"));
        let alone = GatewayRow { address: String::new(), ..gateway };
        assert_eq!(line(&alone, now), "gateway 3, epoch 1: alone, or not seen yet");
    }
}
