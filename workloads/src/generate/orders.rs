//! A shop's orders as JSON.

use serde::Serialize;

use super::Random;
use super::prose::Prose;

/// The shortest list that can be asked for: one without orders.
pub(crate) const SMALLEST_ORDERS_BYTES: u32 = 2;
/// From this length on any one order fits.
const ANY_ORDER_BYTES: u32 = 1024;

/// Given names, of many languages: not all of the text that a service reads is ASCII.
const GIVEN_NAMES: &[&str] = &[
    "Ana",
    "Björn",
    "Chloé",
    "Dmitri",
    "Elif",
    "Fatima",
    "Grace",
    "Hiroshi",
    "Inês",
    "João",
    "Katarzyna",
    "Lukas",
    "Mei",
    "Noah",
    "Olga",
    "Priya",
    "Quentin",
    "Renée",
    "Søren",
    "Thandiwe",
    "Ulla",
    "Valentina",
    "Wei",
    "Ximena",
    "Yusuf",
    "Zoë",
    "Алиса",
    "明美",
    "Νίκος",
    "Łucja",
];

const FAMILY_NAMES: &[&str] = &[
    "Almeida",
    "Bergström",
    "Costa",
    "Dubois",
    "Eriksen",
    "Fernández",
    "García",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Müller",
    "Nguyễn",
    "O'Connor",
    "Papadopoulos",
    "Quispe",
    "Rossi",
    "Sørensen",
    "Tanaka",
    "Usman",
    "Vogel",
    "Williams",
    "Xu",
    "Yılmaz",
    "Zhang",
    "Ångström",
    "Çelik",
    "Øverland",
    "Straßer",
];

/// Cities with their countries.
const PLACES: &[(&str, &str)] = &[
    ("Zürich", "Switzerland"),
    ("Genève", "Switzerland"),
    ("München", "Germany"),
    ("Köln", "Germany"),
    ("Hamburg", "Germany"),
    ("Wien", "Austria"),
    ("Graz", "Austria"),
    ("Paris", "France"),
    ("Nîmes", "France"),
    ("Lyon", "France"),
    ("Lisboa", "Portugal"),
    ("Évora", "Portugal"),
    ("Málaga", "Spain"),
    ("Bilbao", "Spain"),
    ("Torino", "Italy"),
    ("Malmö", "Sweden"),
    ("Göteborg", "Sweden"),
    ("Tromsø", "Norway"),
    ("København", "Denmark"),
    ("Kraków", "Poland"),
    ("Łódź", "Poland"),
    ("Praha", "Czechia"),
    ("İzmir", "Türkiye"),
    ("São Paulo", "Brazil"),
    ("Belém", "Brazil"),
    ("Bogotá", "Colombia"),
    ("Nairobi", "Kenya"),
    ("Ōsaka", "Japan"),
    ("Toronto", "Canada"),
    ("Portland", "United States"),
];

/// Products: the stock number's letters, the name, and the price in cents.
const PRODUCTS: &[(&str, &str, i64)] = &[
    ("KIT", "Espresso cups, set of four", 2490),
    ("KIT", "Cast-iron pan 28 cm", 4995),
    ("KIT", "Bread knife", 3450),
    ("KIT", "Café filter, steel", 1890),
    ("KIT", "Rolling pin, beech", 1650),
    ("HOM", "Desk lamp", 5900),
    ("HOM", "Wool blanket 150 x 200", 8900),
    ("HOM", "Linen curtains, pair", 7450),
    ("HOM", "Wall clock, silent", 3990),
    ("HOM", "Storage box \"Large\"", 1290),
    ("GAR", "Watering can 10 l", 2190),
    ("GAR", "Pruning shears", 2750),
    ("GAR", "Herb seeds, mixed", 495),
    ("GAR", "Garden gloves", 1150),
    ("ELE", "USB-C cable 2 m", 1299),
    ("ELE", "Wireless keyboard", 6499),
    ("ELE", "Noise-cancelling headphones", 19_900),
    ("ELE", "Power bank 20 Ah", 4590),
    ("ELE", "E-book reader 7\"", 14_990),
    ("BOK", "Atlas of Rivers", 3900),
    ("BOK", "A Field Guide to Mosses", 2700),
    ("BOK", "Müßiggang: Essays", 1800),
    ("BOK", "Crossword Puzzles, vol. 12", 990),
    ("TOY", "Wooden train set", 4490),
    ("TOY", "Jigsaw, 1000 pieces", 1790),
    ("TOY", "Kite, 1.4 m", 2290),
    ("SPO", "Yoga mat", 3290),
    ("SPO", "Bicycle pump", 2490),
    ("SPO", "Swimming goggles", 1590),
    ("SPO", "Trail shoes", 11_900),
];

/// How many sizes or colours each product comes in.
const VARIANTS: u64 = 12;
/// The months that orders are from: those of two years.
const FIRST_YEAR: i64 = 2024;

/// What the function `json` reads, as far as a generator is concerned.
#[derive(Debug, Serialize)]
struct Order {
    id: u64,
    customer: String,
    city: &'static str,
    country: &'static str,
    date: String,
    note: String,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    sku: String,
    product: &'static str,
    quantity: i64,
    unit_price_cents: i64,
}

/// A JSON list of exactly `bytes` bytes, which are at least [`SMALLEST_ORDERS_BYTES`].
pub(crate) fn orders(bytes: u32, seed: u64) -> Vec<u8> {
    let random = &mut Random::new(seed);
    let prose = Prose::new();
    if bytes < ANY_ORDER_BYTES {
        return short_list(bytes as usize, random, &prose);
    }
    let mut id = 10_000 + random.below(80_000);
    let mut last = order(random, &prose, id);
    let mut list = String::from("[");
    loop {
        id += 1 + random.below(3);
        let next = order(random, &prose, id);
        let written = json(&last);
        // What is left when this order, the next one and the bracket are written.
        let used = list.len() + written.len() + ",".len() + json(&next).len() + "]".len();
        if used > bytes as usize {
            break;
        }
        list.push_str(&written);
        list.push(',');
        last = next;
    }
    // The last customer has much to say: a list is as long as it should be without blanks,
    // which are cheaper to parse than text.
    let gap = (bytes as usize).saturating_sub(list.len() + json(&last).len() + "]".len());
    let extended = last.note.len() + gap;
    last.note = prose.line(random, extended);
    list.push_str(&json(&last));
    list.push(']');
    list.into_bytes()
}

/// A list of one order at most: with a line where that fits, and else without. Where not even that
/// fits, blanks fill the list.
fn short_list(bytes: usize, random: &mut Random, prose: &Prose) -> Vec<u8> {
    let mut only = order(random, prose, 10_000);
    only.note.clear();
    for lines in [1, 0] {
        only.lines.truncate(lines);
        let used = "[]".len() + json(&only).len();
        if let Some(gap) = bytes.checked_sub(used) {
            only.note = prose.line(random, gap);
            return format!("[{}]", json(&only)).into_bytes();
        }
    }
    format!("[{}]", " ".repeat(bytes.saturating_sub("[]".len()))).into_bytes()
}

fn json(order: &Order) -> String {
    serde_json::to_string(order).expect("an order has text and numbers only")
}

fn order(random: &mut Random, prose: &Prose, id: u64) -> Order {
    let (city, country) = *random.pick(PLACES);
    let lines = random.within(1, 4);
    Order {
        id,
        customer: format!("{} {}", random.pick(GIVEN_NAMES), random.pick(FAMILY_NAMES)),
        city,
        country,
        date: date(random),
        note: if random.chance(20) { prose.sentence(random) } else { String::new() },
        lines: (0..lines).map(|_| line(random)).collect(),
    }
}

fn date(random: &mut Random) -> String {
    let year = random.within(FIRST_YEAR, FIRST_YEAR + 1);
    // No month is shorter than 28 days, so every date exists.
    format!("{year}-{:02}-{:02}", random.within(1, 12), random.within(1, 28))
}

fn line(random: &mut Random) -> Line {
    // The smaller of two draws: some products are sold more often than others.
    let products = PRODUCTS.len() as u64;
    let index = random.below(products).min(random.below(products));
    let variant = random.below(VARIANTS);
    let (letters, product, price) = PRODUCTS[index as usize];
    Line {
        sku: format!("{letters}-{:04}", index * VARIANTS + variant),
        product,
        quantity: if random.chance(70) { 1 } else { random.within(2, 12) },
        // A variant's price is its own, and the same in every order.
        unit_price_cents: price + variant.cast_signed() * 25,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_json() {
        for bytes in [2, 64, 128, 256, 512, 1023, ANY_ORDER_BYTES, 1500, 20_000] {
            let text = orders(bytes, 5);
            assert_eq!(text.len(), bytes as usize);
            let list: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!(list.is_empty(), bytes < 128);
            assert!(list.iter().all(|order| order["lines"].as_array().is_some()));
        }
    }

    #[test]
    fn text_is_not_ascii_alone() {
        let list = orders(20_000, 5);
        assert!(!list.is_ascii());
        assert!(String::from_utf8(list).is_ok());
    }

    #[test]
    fn any_order_fits_into_the_smallest_list() {
        let (random, prose) = (&mut Random::new(9), &Prose::new());
        let longest = (0..20_000).map(|id| json(&order(random, prose, 90_000 + id)).len()).max();
        assert!(longest.unwrap() + "[]".len() <= ANY_ORDER_BYTES as usize);
    }
}
