//! Reads a JSON list of orders, aggregates it and answers the aggregates as JSON.
//!
//! Money is counted in whole cents, and whatever is ordered is sorted: the response is the
//! same to the byte on every target.

mod aggregate;
mod order;

pub use aggregate::{Aggregates, CountryTotal, MonthTotal, OrderTotal, ProductTotal};
pub use order::{Date, Line, Order};

use lumos_abi::{Error, Function};

/// The function. It takes a JSON list of [`Order`]s and gives [`Aggregates`] as JSON.
#[derive(Debug)]
pub struct Json;

lumos_abi::export!(crate::Json);

impl Function for Json {
    type Input<'r> = Vec<Order<'r>>;
    type Output<'r> = Aggregates<'r>;

    fn decode(request: &[u8]) -> Result<Vec<Order<'_>>, Error> {
        serde_json::from_slice(request)
            .map_err(|error| Error(format!("the request is not a list of orders: {error}")))
    }

    fn compute(orders: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        Aggregates::of(orders)
    }

    fn encode(aggregates: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        serde_json::to_writer(response, &aggregates).map_err(Error::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
        "id": 7, "customer": "Zoë \"Z\" Müller", "city": "Köln", "country": "Germany",
        "date": "2025-03-14", "note": "", "lines": [
            { "sku": "A-1", "product": "Pen", "quantity": 3, "unit_price_cents": 250 },
            { "sku": "B-2", "product": "Ink", "quantity": 1, "unit_price_cents": 1000 }
        ]
    }"#;

    fn answer(request: &str) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<Json>(request.as_bytes(), &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn an_order_is_aggregated() {
        let expected = concat!(
            r#"{"orders":1,"units":4,"revenue_cents":1750,"average_order_cents":1750,"#,
            r#""countries":[{"country":"Germany","orders":1,"revenue_cents":1750}],"#,
            r#""months":[{"month":"2025-03","orders":1,"revenue_cents":1750}],"#,
            r#""top_products":[{"sku":"B-2","product":"Ink","units":1,"revenue_cents":1000},"#,
            r#"{"sku":"A-1","product":"Pen","units":3,"revenue_cents":750}],"#,
            r#""totals":[{"id":7,"customer":"Zoë \"Z\" Müller","units":4,"#,
            r#""total_cents":1750}]}"#,
        );
        assert_eq!(answer(&format!("[{ORDER}]")), Ok(expected.to_owned()));
    }

    #[test]
    fn an_empty_list_has_empty_aggregates() {
        let expected = concat!(
            r#"{"orders":0,"units":0,"revenue_cents":0,"average_order_cents":0,"#,
            r#""countries":[],"months":[],"top_products":[],"totals":[]}"#,
        );
        assert_eq!(answer("[]"), Ok(expected.to_owned()));
    }

    #[test]
    fn malformed_requests_are_refused() {
        for request in [
            "",
            "{}",
            "[1]",
            "[{}]",
            &ORDER[..40],
            &format!("[{ORDER}"),
            &format!("[{}]", ORDER.replace("3,", "-3,")),
            &format!("[{}]", ORDER.replace("250", "2.5")),
            &format!("[{}]", ORDER.replace("\"note\"", "\"remark\"")),
        ] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the request is not a list of orders: "), "{message}");
        }
    }

    #[test]
    fn a_request_that_is_not_text_is_refused() {
        let mut response = Vec::new();
        let error = lumos_abi::invoke::<Json>(b"[\"\xff\"]", &mut response).unwrap_err();
        assert!(error.0.starts_with("the request is not a list of orders: "), "{error}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let message = answer(&"[".repeat(1_000_000)).unwrap_err();
        assert!(message.starts_with("the request is not a list of orders: "), "{message}");
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let order = ORDER.replace("250", &u64::MAX.to_string());
        let message = answer(&format!("[{order}]")).unwrap_err();
        assert_eq!(message, "order 7: its total is more than can be counted");
        let order = ORDER.replace("250", &(u64::MAX / 4).to_string());
        let message = answer(&format!("[{order},{order}]")).unwrap_err();
        assert_eq!(message, "order 7: with it, the sums are more than can be counted");
    }
}
