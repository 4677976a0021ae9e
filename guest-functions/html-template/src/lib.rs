//! Renders a list of orders as a web page: a template with loops, conditions and filters.

use std::borrow::Cow;

use lumos_abi::{Error, Function};
use minijinja::{AutoEscape, Environment, Value};
use serde::Deserialize;

const NAME: &str = "page.html";
const TEMPLATE: &str = include_str!("page.html");

/// The function. It takes a JSON list of [`Order`]s and gives a page of HTML.
#[derive(Debug)]
pub struct HtmlTemplate;

lumos_abi::export!(crate::HtmlTemplate);

/// What the page shows of an order; what else it holds is read and passed over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order<'r> {
    /// Its number.
    pub id: u64,
    /// Who ordered.
    #[serde(borrow)]
    pub customer: Cow<'r, str>,
    /// Where it goes.
    #[serde(borrow)]
    pub city: Cow<'r, str>,
    /// The country of that place.
    #[serde(borrow)]
    pub country: Cow<'r, str>,
    /// When it was made.
    #[serde(borrow)]
    pub date: Cow<'r, str>,
    /// What the customer wants to say; often nothing.
    #[serde(borrow)]
    pub note: Cow<'r, str>,
    /// What was ordered.
    #[serde(borrow)]
    pub lines: Vec<Line<'r>>,
}

/// A product of an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Line<'r> {
    /// The product's stock number.
    #[serde(borrow)]
    pub sku: Cow<'r, str>,
    /// The product's name.
    #[serde(borrow)]
    pub product: Cow<'r, str>,
    /// How many.
    pub quantity: u32,
    /// What one costs.
    pub unit_price_cents: u64,
}

// The engine's way from serde to its values keeps a map for each thread, whose destructor would
// hold a shared library in memory after its use.
impl From<Order<'_>> for Value {
    fn from(order: Order<'_>) -> Self {
        let lines: Vec<Self> = order.lines.into_iter().map(Self::from).collect();
        Self::from_pairs([
            ("id", Self::from(order.id)),
            ("customer", Self::from(&*order.customer)),
            ("city", Self::from(&*order.city)),
            ("country", Self::from(&*order.country)),
            ("date", Self::from(&*order.date)),
            ("note", Self::from(&*order.note)),
            ("lines", Self::from(lines)),
        ])
    }
}

impl From<Line<'_>> for Value {
    fn from(line: Line<'_>) -> Self {
        Self::from_pairs([
            ("sku", Self::from(&*line.sku)),
            ("product", Self::from(&*line.product)),
            ("quantity", Self::from(line.quantity)),
            ("unit_price_cents", Self::from(line.unit_price_cents)),
        ])
    }
}

impl Function for HtmlTemplate {
    type Input<'r> = Vec<Order<'r>>;
    type Output<'r> = String;

    fn decode(request: &[u8]) -> Result<Vec<Order<'_>>, Error> {
        serde_json::from_slice(request)
            .map_err(|error| Error(format!("the request is not a list of orders: {error}")))
    }

    fn compute(orders: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        // Compiled for every request, as by a service without state.
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_filter("euros", euros);
        let orders: Vec<Value> = orders.into_iter().map(Value::from).collect();
        let page = Value::from_pairs([("orders", Value::from(orders))]);
        let page = environment
            .add_template(NAME, TEMPLATE)
            .and_then(|()| environment.get_template(NAME)?.render(page));
        page.map_err(|error| Error(format!("the page cannot be rendered: {error}")))
    }

    fn encode(page: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        response.extend_from_slice(page.as_bytes());
        Ok(())
    }
}

/// An amount of money as it is read.
fn euros(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{
        "id": 7, "customer": "Zoë <b>\"Z\"</b> Müller", "city": "Köln", "country": "Germany",
        "date": "2025-03-14", "note": "", "lines": [
            { "sku": "A-1", "product": "Pen & Ink", "quantity": 3, "unit_price_cents": 250 },
            { "sku": "B-2", "product": "Ink", "quantity": 1, "unit_price_cents": 100005 }
        ]
    }"#;

    fn answer(request: &str) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<HtmlTemplate>(request.as_bytes(), &mut response).map_err(|e| e.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn what_is_ordered_is_on_the_page() {
        let page = answer(&format!("[{ORDER}]")).unwrap();
        for part in [
            "<title>1 orders</title>",
            "<section id=\"order-7\">",
            "Köln, GERMANY",
            "<td>€ 2.50</td>",
            "<tr class=\"even\"><td>2</td>",
            "<td>€ 1000.05</td>",
            "<p>2 lines</p>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("blockquote") && !page.contains("no orders"));
    }

    #[test]
    fn a_note_is_quoted() {
        let order = ORDER.replace("\"note\": \"\"", "\"note\": \"Leave it at the \\\"door\\\".\"");
        let page = answer(&format!("[{order}]")).unwrap();
        let quote = "<blockquote>Leave it at the &quot;door&quot;.</blockquote>";
        assert!(page.contains(quote), "{page}");
    }

    #[test]
    fn every_amount_can_be_shown() {
        assert_eq!(euros(0), "€ 0.00");
        assert_eq!(euros(9), "€ 0.09");
        assert_eq!(euros(u64::MAX), "€ 184467440737095516.15");
        let order = ORDER.replace("250", &u64::MAX.to_string());
        assert!(
            answer(&format!("[{order}]")).unwrap().contains("<td>€ 184467440737095516.15</td>")
        );
    }

    #[test]
    fn markup_in_a_request_is_text_on_the_page() {
        let page = answer(&format!("[{ORDER}]")).unwrap();
        assert!(page.contains("Zoë &lt;b&gt;&quot;Z&quot;&lt;&#x2f;b&gt; Müller"), "{page}");
        assert!(page.contains("Pen &amp; Ink"));
    }

    #[test]
    fn an_empty_list_has_a_page() {
        assert!(answer("[]").unwrap().contains("There are no orders."));
    }

    #[test]
    fn malformed_requests_are_refused() {
        for request in [
            "",
            "{}",
            "[1]",
            "[{\"id\":1}]",
            &ORDER[..40],
            &format!("[{ORDER}"),
            &format!("[{}]", ORDER.replace("3,", "-3,")),
            &format!("[{}]", ORDER.replace("250", "2.5")),
            // Deep nesting, also where it would be passed over.
            &"[".repeat(1_000_000),
            &format!("[{}", ORDER.replace("\"note\"", &format!("\"x\":{}", "[".repeat(1_000_000)))),
        ] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the request is not a list of orders: "), "{message}");
        }
    }

    #[test]
    fn a_request_that_is_not_text_is_refused() {
        let error = lumos_abi::invoke::<HtmlTemplate>(b"[\"\xff\"]", &mut Vec::new()).unwrap_err();
        assert!(error.0.starts_with("the request is not a list of orders: "), "{error}");
    }
}
