//! Who holds a port: for the sentence that an administrator reads when a listener can't be bound.
//!
//! Linux tells it in two steps: `/proc/net/tcp` and `tcp6` give the inode of the listening socket, and the process
//! that has `socket:[inode]` among its open files holds it. Of other users' processes only root sees the files; where
//! anything is missing the answer is `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its short name.
    pub program: String,
}

/// Finds who listens where a listener on `address` (`None` for all addresses) and `port` would collide with it. Reads
/// all of `/proc`: some milliseconds, for the rare moment of an error.
pub fn holder(address: Option<IpAddr>, port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, address, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        if !has_open(&process.path(), &inodes) {
            return None;
        }
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        Some(Holder { pid, program: name.trim_end().to_owned() })
    })
}

fn has_open(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| {
        std::fs::read_link(file.path())
            .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    })
}

/// The inodes of listening sockets in a table of `/proc/net` that stand in the way.
fn listening(table: &str, address: Option<IpAddr>, port: u16) -> Vec<u64> {
    table.lines().skip(1).filter_map(|line| row(line, address, port)).collect()
}

fn row(line: &str, address: Option<IpAddr>, port: u16) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _peer, state) = (fields.next()?, fields.next()?, fields.next()?);
    // 0A is LISTEN; after the state come queues, timer, retransmissions, user, timeout, inode.
    let inode: u64 = fields.nth(5)?.parse().ok()?;
    let (host, held_port) = local.split_once(':')?;
    let held = ip(host)?;
    let collides = address.is_none_or(|wanted| {
        let wanted = wanted.to_canonical();
        wanted == held || wanted.is_unspecified() || held.is_unspecified()
    });
    (state == "0A" && u16::from_str_radix(held_port, 16).ok()? == port && collides).then_some(inode)
}

/// An address of the table: 32-bit words as hexadecimal numbers, whose bytes are the address's in memory.
fn ip(hex: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = hex
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match *words.as_slice() {
        [four] => Some(IpAddr::V4(Ipv4Addr::from(four))),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n\
            1: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0\n\
            2: 0100007F:0019 0100007F:8000 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0\n\
            3: 0100007F:001A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0\n\
            4: 00000000000000000000000001000000:0019 00000000000000000000000000000000:0000 0A \
            00000000:00000000 00:00000000 00000000     0        0 555 1 0\n\
            rubbish\n  5: 01:0019 x 0A\n";
        let cases: [(Option<&str>, &[u64]); 4] = [
            (None, &[111, 222, 555]),
            (Some("127.0.0.1"), &[111, 222]),
            (Some("::1"), &[222, 555]),
            (Some("192.0.2.1"), &[222]),
        ];
        for (address, wanted) in cases {
            let address = address.map(|text| text.parse().unwrap());
            assert_eq!(listening(table, address, 25), wanted, "{address:?}");
        }
    }
}
