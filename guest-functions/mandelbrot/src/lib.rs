//! Draws the Mandelbrot set: floating-point work without memory, one point after the other.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The longest side in pixels: twice that of the paper's largest payload.
pub const LARGEST_SIDE: u32 = 4096;

/// After how many steps a point counts as one of the set.
pub const MOST_STEPS: u8 = 50;

/// The function. It takes the side of the picture in pixels, in decimal digits, and gives the
/// picture as a binary PGM: for each pixel the number of steps after which the point left.
#[derive(Debug)]
pub struct Mandelbrot;

lumos_abi::export!(crate::Mandelbrot);

/// A square picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its side in pixels.
    pub side: u32,
    /// The steps of each pixel, row by row.
    pub steps: Vec<u8>,
}

impl Function for Mandelbrot {
    type Input<'r> = u32;
    type Output<'r> = Picture;

    fn decode(request: &[u8]) -> Result<u32, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the side is not text"))?;
        let side: u32 = text
            .trim_ascii()
            .parse()
            .map_err(|error| Error(format!("the side is not a decimal number: {error}")))?;
        if !(1..=LARGEST_SIDE).contains(&side) {
            return Err(Error(format!("the side {side} is not within 1 and {LARGEST_SIDE}")));
        }
        Ok(side)
    }

    fn compute(side: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut steps = Vec::with_capacity((side * side) as usize);
        // Points from -1.5 to 0.5 and from -i to i, in the middle of their pixels.
        let scale = 2.0 / f64::from(side);
        let place = |pixel: u32| (f64::from(pixel) + 0.5) * scale;
        for row in 0..side {
            for column in 0..side {
                steps.push(steps_of(place(column) - 1.5, place(row) - 1.0));
            }
        }
        Ok(Picture { side, steps })
    }

    fn encode(picture: Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let Picture { side, steps } = picture;
        response.reserve(steps.len() + 20);
        write!(response, "P5\n{side} {side}\n{MOST_STEPS}\n").map_err(Error::new)?;
        response.extend_from_slice(&steps);
        Ok(())
    }
}

/// After how many steps the point `x + i y` is farther than 2 from the origin.
fn steps_of(x: f64, y: f64) -> u8 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for step in 0..MOST_STEPS {
        let (real_square, imaginary_square) = (real * real, imaginary * imaginary);
        if real_square + imaginary_square > 4.0 {
            return step;
        }
        imaginary = 2.0 * real * imaginary + y;
        real = real_square - imaginary_square + x;
    }
    MOST_STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &[u8]) -> Result<Vec<u8>, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<Mandelbrot>(request, &mut response).map_err(|error| error.0)?;
        Ok(response)
    }

    #[test]
    fn known_points_are_in_the_set_or_out() {
        for (x, y) in [(0.0, 0.0), (-1.0, 0.0), (-0.1, 0.75), (0.25, 0.0)] {
            assert_eq!(steps_of(x, y), MOST_STEPS, "{x} {y}");
        }
        assert_eq!(steps_of(2.0, 2.0), 1);
        assert!(steps_of(0.5, 0.5) < 10);
    }

    #[test]
    fn the_picture_is_a_pgm_and_its_own_mirror() {
        let response = answer(b"64").unwrap();
        let pixels = response.strip_prefix(b"P5\n64 64\n50\n").unwrap();
        assert_eq!(pixels.len(), 64 * 64);
        let rows: Vec<&[u8]> = pixels.chunks(64).collect();
        for row in 0..32 {
            assert_eq!(rows[row], rows[63 - row], "{row}");
        }
        // The set's area is 1.507 of the picture's 4.
        let inside = pixels.iter().filter(|steps| **steps == MOST_STEPS).count() as f64;
        assert!((0.34..0.42).contains(&(inside / 4096.0)), "{inside}");
    }

    #[test]
    fn a_malformed_side_is_refused() {
        for request in [&b""[..], b"ten", b"-5", b"1.5", b"99999999999999"] {
            let message = answer(request).unwrap_err();
            assert!(message.starts_with("the side is not a decimal number"), "{message}");
        }
        assert_eq!(answer(&[0xff]).unwrap_err(), "the side is not text");
        assert_eq!(answer(b"0").unwrap_err(), "the side 0 is not within 1 and 4096");
        assert_eq!(answer(b"4097").unwrap_err(), "the side 4097 is not within 1 and 4096");
    }
}
