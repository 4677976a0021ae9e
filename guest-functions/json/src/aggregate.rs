//! The work: sums over orders.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use lumos_abi::Error;
use serde::{Serialize, Serializer};

use crate::order::Order;

/// How many products a response names.
const TOP_PRODUCTS: u32 = 10;

/// What a response holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Aggregates<'r> {
    /// How many orders there are.
    pub orders: u64,
    /// How many pieces were ordered.
    pub units: u64,
    /// What they cost together.
    pub revenue_cents: u64,
    /// What an order costs on average, rounded down; 0 without orders.
    pub average_order_cents: u64,
    /// The sums per country, in the order of names.
    pub countries: Vec<CountryTotal<'r>>,
    /// The sums per month, the oldest first.
    pub months: Vec<MonthTotal>,
    /// The products with the highest revenue, the highest first.
    pub top_products: Vec<ProductTotal<'r>>,
    /// The sum of each order, in the order of the request.
    pub totals: Vec<OrderTotal<'r>>,
}

/// The sums of a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountryTotal<'r> {
    /// The country.
    pub country: Cow<'r, str>,
    /// How many orders go there.
    pub orders: u64,
    /// What they cost.
    pub revenue_cents: u64,
}

/// The sums of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MonthTotal {
    /// The year and the month, written `YYYY-MM`.
    #[serde(serialize_with = "month_text")]
    pub month: (u16, u8),
    /// How many orders were made then.
    pub orders: u64,
    /// What they cost.
    pub revenue_cents: u64,
}

/// The sums of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductTotal<'r> {
    /// The product's stock number.
    pub sku: Cow<'r, str>,
    /// The product's name in the first order that has it.
    pub product: Cow<'r, str>,
    /// How many were ordered.
    pub units: u64,
    /// What they cost.
    pub revenue_cents: u64,
}

/// The sum of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderTotal<'r> {
    /// The order's number.
    pub id: u64,
    /// Who ordered.
    pub customer: Cow<'r, str>,
    /// How many pieces were ordered.
    pub units: u64,
    /// What they cost.
    pub total_cents: u64,
}

fn month_text<S: Serializer>((year, month): &(u16, u8), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{year:04}-{month:02}"))
}

/// What is counted per country, month and product.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    orders: u64,
    units: u64,
    cents: u64,
}

impl Sum {
    /// This sum and another's; nothing when a part of it has no room in 64 bits.
    fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            orders: self.orders.checked_add(other.orders)?,
            units: self.units.checked_add(other.units)?,
            cents: self.cents.checked_add(other.cents)?,
        })
    }
}

/// The sums while orders are added to them.
///
/// Trees and no hash tables: these would be walked in an order, and hashed with a width, that
/// depend on the target.
#[derive(Debug, Default)]
struct Sums<'r> {
    all: Sum,
    countries: BTreeMap<Cow<'r, str>, Sum>,
    months: BTreeMap<(u16, u8), Sum>,
    products: BTreeMap<Cow<'r, str>, (Cow<'r, str>, Sum)>,
    totals: Vec<OrderTotal<'r>>,
}

impl<'r> Aggregates<'r> {
    /// Aggregates orders.
    ///
    /// # Errors
    /// When a sum is larger than 64 bits hold.
    pub fn of(orders: Vec<Order<'r>>) -> Result<Self, Error> {
        let mut sums = Sums::default();
        for order in orders {
            sums.add(order)?;
        }
        Ok(sums.into_aggregates())
    }
}

impl<'r> Sums<'r> {
    fn add(&mut self, order: Order<'r>) -> Result<(), Error> {
        let id = order.id;
        let sum = total(&order)
            .ok_or_else(|| Error(format!("order {id}: its total is more than can be counted")))?;
        // The sum of all orders bounds every other one, so no other can overflow.
        self.all = self.all.plus(sum).ok_or_else(|| {
            Error(format!("order {id}: with it, the sums are more than can be counted"))
        })?;
        add_to(self.countries.entry(order.country).or_default(), sum);
        add_to(self.months.entry((order.date.year, order.date.month)).or_default(), sum);
        for line in order.lines {
            let units = u64::from(line.quantity);
            let sum = Sum { orders: 1, units, cents: units * line.unit_price_cents };
            let (_, product) =
                self.products.entry(line.sku).or_insert_with(|| (line.product, Sum::default()));
            add_to(product, sum);
        }
        self.totals.push(OrderTotal {
            id,
            customer: order.customer,
            units: sum.units,
            total_cents: sum.cents,
        });
        Ok(())
    }

    fn into_aggregates(self) -> Aggregates<'r> {
        let Sum { orders, units, cents } = self.all;
        Aggregates {
            orders,
            units,
            revenue_cents: cents,
            average_order_cents: cents.checked_div(orders).unwrap_or(0),
            countries: countries(self.countries),
            months: months(self.months),
            top_products: top_products(self.products),
            totals: self.totals,
        }
    }
}

/// Adds where the caller knows that there is room.
fn add_to(sum: &mut Sum, other: Sum) {
    sum.orders += other.orders;
    sum.units += other.units;
    sum.cents += other.cents;
}

/// An order's sum; nothing when it has no room in 64 bits.
fn total(order: &Order<'_>) -> Option<Sum> {
    order.lines.iter().try_fold(Sum { orders: 1, ..Sum::default() }, |sum, line| {
        let units = u64::from(line.quantity);
        sum.plus(Sum { orders: 0, units, cents: units.checked_mul(line.unit_price_cents)? })
    })
}

fn countries(sums: BTreeMap<Cow<'_, str>, Sum>) -> Vec<CountryTotal<'_>> {
    sums.into_iter()
        .map(|(country, sum)| CountryTotal {
            country,
            orders: sum.orders,
            revenue_cents: sum.cents,
        })
        .collect()
}

fn months(sums: BTreeMap<(u16, u8), Sum>) -> Vec<MonthTotal> {
    sums.into_iter()
        .map(|(month, sum)| MonthTotal { month, orders: sum.orders, revenue_cents: sum.cents })
        .collect()
}

fn top_products<'r>(sums: BTreeMap<Cow<'r, str>, (Cow<'r, str>, Sum)>) -> Vec<ProductTotal<'r>> {
    let mut products: Vec<ProductTotal<'r>> = sums
        .into_iter()
        .map(|(sku, (product, sum))| ProductTotal {
            sku,
            product,
            units: sum.units,
            revenue_cents: sum.cents,
        })
        .collect();
    // A stable sort: products of equal revenue stay in the order of their stock numbers.
    products.sort_by_key(|product| Reverse(product.revenue_cents));
    products.truncate(TOP_PRODUCTS as usize);
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Date, Line};

    fn order(
        id: u64,
        country: &'static str,
        month: u8,
        lines: &[(&'static str, u32)],
    ) -> Order<'static> {
        Order {
            id,
            customer: "Ana".into(),
            city: "Porto".into(),
            country: country.into(),
            date: Date { year: 2025, month, day: 1 },
            note: "".into(),
            lines: lines
                .iter()
                .map(|(sku, quantity)| Line {
                    sku: (*sku).into(),
                    product: format!("Product {sku}").into(),
                    quantity: *quantity,
                    unit_price_cents: 100,
                })
                .collect(),
        }
    }

    #[test]
    fn sums_are_per_country_month_and_product() {
        let orders = vec![
            order(1, "Peru", 2, &[("b", 1), ("a", 2)]),
            order(2, "Chile", 1, &[("a", 3)]),
            order(3, "Peru", 1, &[]),
        ];
        let aggregates = Aggregates::of(orders).unwrap();
        assert_eq!((aggregates.orders, aggregates.units, aggregates.revenue_cents), (3, 6, 600));
        assert_eq!(aggregates.average_order_cents, 200);
        let countries: Vec<_> =
            aggregates.countries.iter().map(|c| (&*c.country, c.orders, c.revenue_cents)).collect();
        assert_eq!(countries, [("Chile", 1, 300), ("Peru", 2, 300)]);
        let months: Vec<_> =
            aggregates.months.iter().map(|m| (m.month, m.orders, m.revenue_cents)).collect();
        assert_eq!(months, [((2025, 1), 2, 300), ((2025, 2), 1, 300)]);
        let products: Vec<_> =
            aggregates.top_products.iter().map(|p| (&*p.sku, p.units, p.revenue_cents)).collect();
        assert_eq!(products, [("a", 5, 500), ("b", 1, 100)]);
        let totals: Vec<_> = aggregates.totals.iter().map(|t| (t.id, t.total_cents)).collect();
        assert_eq!(totals, [(1, 300), (2, 300), (3, 0)]);
    }

    #[test]
    fn no_more_than_the_top_products_are_named() {
        let skus = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let lines: Vec<_> = skus.iter().map(|sku| (*sku, 1)).collect();
        let aggregates = Aggregates::of(vec![order(1, "Peru", 1, &lines)]).unwrap();
        let named: Vec<_> = aggregates.top_products.iter().map(|p| &*p.sku).collect();
        assert_eq!(named, skus[..10]);
    }
}
