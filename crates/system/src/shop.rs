//! What database do the tests' SQL spaces read?

use std::path::Path;

/// Products that [`shop_database`] writes.
const PRODUCTS: i64 = 1_000;

/// Writes a small shop: products 1 to 1000, and `odd`, whose rows no JSON object can be made of.
#[track_caller]
pub fn shop_database(file: &Path) {
    let connection = rusqlite::Connection::open(file).expect("a database can be created");
    let schema = "
        CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL NOT NULL, stock INTEGER);
        CREATE TABLE odd (id INTEGER, body);
        INSERT INTO odd VALUES (1, x'00ff80'), (2, 9e999), (3, NULL), (4, 'a'), (4, 'b');";
    connection.execute_batch(schema).expect("the schema is valid");
    let rows = format!(
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {PRODUCTS})
         INSERT INTO products SELECT id, 'product ' || id, id * 1.5, CASE WHEN id % 10 = 0 THEN NULL ELSE id * 3 END FROM n"
    );
    connection.execute_batch(&rows).expect("the rows are valid");
}
