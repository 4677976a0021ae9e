//! Ranks the nodes of a graph by its links: floating-point work over memory in no order.

use std::io::Write;

use lumos_abi::{Error, Function};

/// The most nodes: ten times those of the largest payload.
pub const MOST_NODES: u32 = 1_000_000;
/// The most links of a node: eight times those of the payloads.
pub const MOST_LINKS: u32 = 64;
/// The most links of all nodes together: making the graph takes three numbers of 32 bits for each,
/// 192 MiB at the most.
pub const MOST_LINKS_IN_ALL: u64 = 16 << 20;
/// The most iterations: ranks settle long before.
pub const MOST_ITERATIONS: u32 = 1000;

/// The share of rank that follows links, as in the paper of Page and others (1999).
const DAMPING: f64 = 0.85;
/// How many nodes an answer names.
const NAMED: usize = 10;

/// The function. It takes `nodes=<n> links=<n> seed=<n> iterations=<n>`, makes a graph whose nodes
/// have up to so many links each, and gives a line of JSON with the nodes of the highest rank:
/// `{"nodes":1000,"checksum":...,"top":[{"node":7,"rank":0.001234567},...]}`.
#[derive(Debug)]
pub struct PageRank;

lumos_abi::export!(crate::PageRank);

/// A graph, and how often its ranks are to be spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    graph: Graph,
    iterations: u32,
}

/// Which nodes link to which: the links into node `n` come from
/// `sources[starts[n]..starts[n + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Graph {
    starts: Vec<u32>,
    sources: Vec<u32>,
    /// How many links leave each node.
    leaving: Vec<u32>,
}

/// The ranks of all nodes; their sum is 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks(Vec<f64>);

impl Function for PageRank {
    type Input<'r> = Job;
    type Output<'r> = Ranks;

    fn decode(request: &[u8]) -> Result<Job, Error> {
        let text = str::from_utf8(request).map_err(|_| Error::new("the request is not text"))?;
        let mut words = text.split_ascii_whitespace();
        let mut field = |name: &str, least: u32, most: u32| {
            let word = words.next().unwrap_or_default();
            let number = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
            let number: u32 = number.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
                Error(format!("the request has no `{name}=<number>` in its place"))
            })?;
            if !(least..=most).contains(&number) {
                return Err(Error(format!("{name}={number} is not within {least} and {most}")));
            }
            Ok(number)
        };
        let nodes = field("nodes", 1, MOST_NODES)?;
        let links = field("links", 0, MOST_LINKS)?;
        let seed = field("seed", 0, u32::MAX)?;
        let iterations = field("iterations", 0, MOST_ITERATIONS)?;
        if words.next().is_some() {
            return Err(Error::new("the request has more than its four fields"));
        }
        if u64::from(nodes) * u64::from(links) > MOST_LINKS_IN_ALL {
            return Err(Error(format!(
                "{nodes} nodes of {links} links are more than {MOST_LINKS_IN_ALL} links in all"
            )));
        }
        Ok(Job { graph: Graph::new(nodes, links, seed), iterations })
    }

    fn compute(Job { graph, iterations }: Self::Input<'_>) -> Result<Self::Output<'_>, Error> {
        let mut ranks = vec![1.0 / graph.nodes() as f64; graph.nodes()];
        for _ in 0..iterations {
            ranks = graph.spread(&ranks);
        }
        Ok(Ranks(ranks))
    }

    fn encode(Ranks(ranks): Self::Output<'_>, response: &mut Vec<u8>) -> Result<(), Error> {
        let checksum =
            ranks.iter().fold(0_u64, |sum, rank| sum.wrapping_mul(31).wrapping_add(rank.to_bits()));
        let mut order: Vec<u32> = (0..ranks.len() as u32).collect();
        let by_rank =
            |a: &u32, b: &u32| ranks[*b as usize].total_cmp(&ranks[*a as usize]).then(a.cmp(b));
        let named = NAMED.min(order.len());
        // The first few are enough: a million nodes need not be in order for ten.
        order.select_nth_unstable_by(named - 1, by_rank);
        order.truncate(named);
        order.sort_unstable_by(by_rank);
        let top: Vec<String> = order
            .iter()
            .map(|node| format!(r#"{{"node":{node},"rank":{:.9}}}"#, ranks[*node as usize]))
            .collect();
        let (nodes, top) = (ranks.len(), top.join(","));
        writeln!(response, r#"{{"nodes":{nodes},"checksum":{checksum},"top":[{top}]}}"#)
            .map_err(Error::new)
    }
}

impl Graph {
    /// A graph whose nodes have up to `links` links; low numbers are linked to more often, as few
    /// pages are known to many.
    fn new(nodes: u32, links: u32, seed: u32) -> Self {
        let mut random = Random(u64::from(seed));
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity((nodes * links) as usize);
        let mut leaving = vec![0; nodes as usize];
        for source in 0..nodes {
            // Some nodes link to none.
            leaving[source as usize] = random.below(links + 1);
            for _ in 0..leaving[source as usize] {
                let target = random.below(nodes).min(random.below(nodes));
                pairs.push((target, source));
            }
        }
        // Counted, then placed: by target, and in the order of the sources.
        let mut starts = vec![0; nodes as usize + 1];
        for (target, _) in &pairs {
            starts[*target as usize + 1] += 1;
        }
        for node in 0..nodes as usize {
            starts[node + 1] += starts[node];
        }
        let (mut next, mut sources) = (starts.clone(), vec![0; pairs.len()]);
        for (target, source) in pairs {
            let place = &mut next[target as usize];
            sources[*place as usize] = source;
            *place += 1;
        }
        Self { starts, sources, leaving }
    }

    fn nodes(&self) -> usize {
        self.leaving.len()
    }

    /// Lets every node give its rank to those that it links to, or to all where it links to none.
    fn spread(&self, ranks: &[f64]) -> Vec<f64> {
        let mut given = vec![0.0; ranks.len()];
        let mut to_all = 0.0;
        for ((given, rank), leaving) in given.iter_mut().zip(ranks).zip(&self.leaving) {
            match leaving {
                0 => to_all += rank,
                _ => *given = rank / f64::from(*leaving),
            }
        }
        let nodes = self.nodes() as f64;
        let base = (1.0 - DAMPING) / nodes + DAMPING * to_all / nodes;
        let received = self.starts.windows(2).map(|ends| {
            let sources = &self.sources[ends[0] as usize..ends[1] as usize];
            sources.iter().map(|source| given[*source as usize]).sum::<f64>()
        });
        received.map(|received| base + DAMPING * received).collect()
    }
}

/// Numbers that are the same on every target: SplitMix64 of Steele and others (2014).
struct Random(u64);

impl Random {
    /// A number below `bound`, or 0 when that is 0.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high half of a product is below the bound.
        (((mixed >> 32) * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &str) -> Result<String, String> {
        let mut response = Vec::new();
        lumos_abi::invoke::<PageRank>(request.as_bytes(), &mut response).map_err(|e| e.0)?;
        Ok(String::from_utf8(response).unwrap())
    }

    /// A graph from its links, as (source, target).
    fn graph(nodes: usize, links: &[(u32, u32)]) -> Graph {
        let mut graph = Graph { starts: vec![0], sources: Vec::new(), leaving: vec![0; nodes] };
        for node in 0..nodes as u32 {
            let into = links.iter().filter(|(_, target)| *target == node);
            graph.sources.extend(into.map(|(source, _)| source));
            graph.starts.push(graph.sources.len() as u32);
        }
        links.iter().for_each(|(source, _)| graph.leaving[*source as usize] += 1);
        graph
    }

    #[test]
    fn ranks_are_those_of_the_equations() {
        // 0 -> 1, 0 -> 2, 1 -> 2, 2 -> 0: solved by hand from r = 0.05 + 0.85 (...).
        let graph = graph(3, &[(0, 1), (0, 2), (1, 2), (2, 0)]);
        let Ranks(ranks) = PageRank::compute(Job { graph, iterations: 200 }).unwrap();
        for (rank, expected) in ranks.iter().zip([0.387_789_7, 0.214_810_6, 0.397_399_7]) {
            assert!((rank - expected).abs() < 1e-6, "{ranks:?}");
        }
    }

    #[test]
    fn ranks_add_up_to_one_though_some_nodes_link_to_none() {
        let graph = Graph::new(500, 4, 7);
        assert!(graph.leaving.contains(&0));
        let Ranks(ranks) = PageRank::compute(Job { graph, iterations: 30 }).unwrap();
        assert!((ranks.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_graph_is_sorted_by_target() {
        let graph = Graph::new(100, 5, 1);
        assert_eq!(graph.starts.len(), 101);
        assert_eq!(*graph.starts.last().unwrap() as usize, graph.sources.len());
        assert!(graph.starts.is_sorted());
        let leaving: u32 = graph.leaving.iter().sum();
        assert_eq!(leaving as usize, graph.sources.len());
        assert_ne!(Graph::new(100, 5, 2), graph);
    }

    #[test]
    fn the_response_names_the_highest_ranks() {
        let line = answer("nodes=1 links=0 seed=1 iterations=3").unwrap();
        let checksum = 1_f64.to_bits();
        let top = "[{\"node\":0,\"rank\":1.000000000}]";
        assert_eq!(line, format!("{{\"nodes\":1,\"checksum\":{checksum},\"top\":{top}}}\n"));
        let line = answer("nodes=100 links=4 seed=1 iterations=9\n").unwrap();
        assert_eq!(line.matches("\"rank\"").count(), NAMED, "{line}");
    }

    #[test]
    fn a_malformed_request_is_refused() {
        for (request, message) in [
            ("", "the request has no `nodes=<number>` in its place"),
            ("nodes=x", "the request has no `nodes=<number>` in its place"),
            ("nodes=5 seed=1", "the request has no `links=<number>` in its place"),
            ("nodes=0", "nodes=0 is not within 1 and 1000000"),
            ("nodes=5 links=65", "links=65 is not within 0 and 64"),
            ("nodes=5 links=1 seed=-1", "the request has no `seed=<number>` in its place"),
            ("nodes=5 links=1 seed=1", "the request has no `iterations=<number>` in its place"),
            ("nodes=5 links=1 seed=1 iterations=1001", "iterations=1001 is not within 0 and 1000"),
            (
                "nodes=5 links=1 seed=1 iterations=1 links=2",
                "the request has more than its four fields",
            ),
            (
                "nodes=1000000 links=17 seed=1 iterations=1",
                "1000000 nodes of 17 links are more than 16777216 links in all",
            ),
        ] {
            assert_eq!(answer(request).unwrap_err(), message);
        }
        let error = lumos_abi::invoke::<PageRank>(&[0xff], &mut Vec::new()).unwrap_err();
        assert_eq!(error.0, "the request is not text");
    }
}
