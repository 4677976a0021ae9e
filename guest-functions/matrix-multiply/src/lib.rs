//! Multiplies two square matrices: floating-point work on rows that fit into a cache or do not.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The largest order: three such matrices take 24 MiB.
pub const LARGEST_ORDER: u32 = 1024;

/// The function. It takes an order in decimal digits, multiplies two matrices of that order whose
/// elements come from a seed, and gives a line of JSON:
/// `{"order":64,"trace":...,"checksum":...}`.
#[derive(Debug)]
pub struct MatrixMultiply;

lumos_abi::export!(crate::MatrixMultiply);

/// What is told of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// The order of the matrices.
    pub order: u32,
    /// The sum of the product's diagonal.
    pub trace: f64,
    /// A hash of the bits of all elements, row by row, modulo 2^64.
    pub checksum: u64,
}

impl Function for MatrixMultiply {
    type Input<'r> = u32;
    type Output<'r> = Product;

    fn decode(request: &[u8]) -> Result<u32, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the order is not text"))?;
        let order: u32 = text
            .trim_ascii()
            .parse()
            .map_err(|error| Error(format!("the order is not a decimal number: {error}")))?;
        if !(1..=LARGEST_ORDER).contains(&order) {
            return Err(Error(format!("the order {order} is not within 1 and {LARGEST_ORDER}")));
        }
        Ok(order)
    }

    fn compute(order: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let (a, b) = (matrix(order, 1), matrix(order, 2));
        let product = multiply(&a, &b, order as usize);
        let diagonal = product.iter().step_by(order as usize + 1);
        let checksum = product
            .iter()
            .fold(0_u64, |sum, element| sum.wrapping_mul(31).wrapping_add(element.to_bits()));
        Ok(Product { order, trace: diagonal.sum(), checksum })
    }

    fn encode(product: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Product { order, trace, checksum } = product;
        writeln!(response, r#"{{"order":{order},"trace":{trace:.3},"checksum":{checksum}}}"#)
            .map_err(Error::new)
    }
}

/// A matrix of eighths from -16 to 16, row by row: their products and sums are exact, in whatever
/// order they are added.
fn matrix(order: u32, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let element = || {
        // The multiplier and the increment are Knuth's, of MMIX.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The high bits of such a generator are the good ones; 8 bits fit.
        f64::from((state >> 56) as u8) / 8.0 - 16.0
    };
    std::iter::repeat_with(element).take((order * order) as usize).collect()
}

/// The product, row by row: the innermost loop runs along rows, as memory lies.
fn multiply(a: &[f64], b: &[f64], order: usize) -> Vec<f64> {
    let mut product = vec![0.0; order * order];
    for (row, sums) in a.chunks_exact(order).zip(product.chunks_exact_mut(order)) {
        for (factor, line) in row.iter().zip(b.chunks_exact(order)) {
            for (sum, element) in sums.iter_mut().zip(line) {
                *sum += factor * element;
            }
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<MatrixMultiply>(request, &mut response).map_err(|error| error.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    #[test]
    fn the_product_is_that_of_the_definition() {
        let order = 17;
        let (a, b) = (matrix(17, 1), matrix(17, 2));
        let product = multiply(&a, &b, order);
        for row in 0..order {
            for column in 0..order {
                let sum: f64 = (0..order).map(|k| a[row * order + k] * b[k * order + column]).sum();
                assert_eq!(product[row * order + column], sum, "{row} {column}");
            }
        }
    }

    #[test]
    fn one_is_neutral() {
        let identity = [1.0, 0.0, 0.0, 1.0];
        assert_eq!(multiply(&[1.5, 2.0, -3.0, 4.0], &identity, 2), [1.5, 2.0, -3.0, 4.0]);
    }

    #[test]
    fn elements_are_eighths_within_bounds() {
        let elements = matrix(100, 1);
        assert!(elements.iter().all(|x| (-16.0..16.0).contains(x) && (x * 8.0).fract() == 0.0));
        let mean = elements.iter().sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.5, "{mean}");
        assert_ne!(matrix(100, 2), elements);
    }

    #[test]
    fn the_response_is_a_line_of_json() {
        let (a, b) = (matrix(1, 1)[0], matrix(1, 2)[0]);
        let (trace, checksum) = (a * b, (a * b).to_bits());
        let line = format!("{{\"order\":1,\"trace\":{trace:.3},\"checksum\":{checksum}}}\n");
        assert_eq!(answer(b" 1\n"), Ok(line));
    }

    #[test]
    fn a_malformed_order_is_refused() {
        for request in [&b""[..], b"ten", b"-5", b"1.5", b"99999999999999"] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the order is not a decimal number"), "{message}");
        }
        assert_eq!(answer(&[0xff]).unwrap_err(), "the order is not text");
        assert_eq!(answer(b"0").unwrap_err(), "the order 0 is not within 1 and 1024");
        assert_eq!(answer(b"1025").unwrap_err(), "the order 1025 is not within 1 and 1024");
    }
}
