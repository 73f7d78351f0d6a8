//! What does the shop sell? Product pages in an SQLite file of their own, thrown away at the end.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::failure::Failure;

/// Rows of every shop: as many products as the largest incident needs.
pub(crate) const PRODUCTS: u32 = 3_000;

/// WAL, so that a price can change while queries read; nothing here needs to survive a power cut.
const SCRIPT: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL,
                           stock INTEGER NOT NULL, description TEXT NOT NULL);
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000)
    INSERT INTO products
    SELECT n, 'Product ' || n, 1000 + n % 900, n * 37 % 120, 'A fine thing, number ' || n || '. Ships tomorrow.'
    FROM number;";

/// One side's shop.
pub(crate) struct Shop {
    path: PathBuf,
    /// The shop's back office: it changes prices.
    office: Mutex<Connection>,
}

impl Shop {
    /// A new shop in `home`, in a file named after `side`.
    pub(crate) fn open(home: &Path, side: &str) -> Result<Shop, Failure> {
        let path = home.join(format!("{side}.db"));
        let made = Connection::open(&path).and_then(|office| office.execute_batch(SCRIPT).map(|()| office));
        let office = made.map_err(|error| {
            Failure::Shop(format!("{}: {error}; is the disk full? TMPDIR names another place", path.display()))
        })?;
        Ok(Shop { path, office: Mutex::new(office) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Raises a product's price by one cent and tells the new one. Prices only ever grow, so that an older
    /// answer is known by its price.
    pub(crate) fn raise_price(&self, id: i64) -> rusqlite::Result<u64> {
        let sql = "UPDATE products SET price = price + 1 WHERE id = ?1 RETURNING price";
        let price: i64 = self.office.lock().query_row(sql, [id], |row| row.get(0))?;
        Ok(price.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shop_has_all_its_products_and_prices_only_grow() {
        let home = tempfile::tempdir().expect("a directory");
        let shop = Shop::open(home.path(), "plain").expect("a shop");
        let reader = Connection::open(shop.path()).expect("the same file");
        let count: u32 = reader.query_row("SELECT count(*) FROM products", [], |row| row.get(0)).expect("rows");
        assert_eq!(count, PRODUCTS);
        let (first, second) = (shop.raise_price(3).expect("a price"), shop.raise_price(3).expect("a price"));
        assert_eq!(second, first + 1);
        let read: i64 = reader.query_row("SELECT price FROM products WHERE id = 3", [], |row| row.get(0)).expect("it");
        assert_eq!(read.unsigned_abs(), second);
        assert!(shop.raise_price(i64::from(PRODUCTS) + 1).is_err(), "no such product");
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let gone = Path::new("/nowhere/at/all");
        let Err(Failure::Shop(words)) = Shop::open(gone, "plain") else { panic!("no such directory") };
        assert!(words.contains("/nowhere/at/all") && words.contains("TMPDIR"), "{words}");
    }
}
