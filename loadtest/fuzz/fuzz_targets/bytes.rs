//! Bytes: a connection's, as they come. What the hot path answers is what hyper and the handlers
//! would have said, of the same sale in the same state.
#![no_main]

#[expect(dead_code, reason = "another target sends requests")]
mod gateway;

use libfuzzer_sys::fuzz_target;

use gateway::Gateway;

thread_local! {
    static GATEWAYS: [Gateway; 2] = [Gateway::start(), Gateway::start()];
}

fuzz_target!(|bytes: &[u8]| {
    GATEWAYS.with(|[hot, plain]| {
        let bytes = hot.with_tokens(bytes);
        if let Some(told) = hot.hot(&bytes) {
            let expected = plain.by_hyper(&bytes).map(gateway::raw::Answer::timeless);
            assert_eq!(Some(told.timeless()), expected, "{}", String::from_utf8_lossy(&bytes));
        }
    });
});
