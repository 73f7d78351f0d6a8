-- The sample shop: 1,000 products, the same in every run.
CREATE TABLE products (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL,
    price    REAL    NOT NULL,
    stock    INTEGER NOT NULL,
    category TEXT    NOT NULL
);

-- Twenty looks times fifty things: every name once. The first look is of product 1, the second of product 2.
WITH RECURSIVE
    look(i, word) AS (VALUES
        (0, 'Red'), (1, 'Blue'), (2, 'Green'), (3, 'White'), (4, 'Black'),
        (5, 'Grey'), (6, 'Oak'), (7, 'Walnut'), (8, 'Steel'), (9, 'Copper'),
        (10, 'Linen'), (11, 'Wool'), (12, 'Leather'), (13, 'Glass'), (14, 'Stone'),
        (15, 'Folding'), (16, 'Large'), (17, 'Small'), (18, 'Vintage'), (19, 'Everyday')),
    thing(i, word, category, base) AS (VALUES
        (0, 'Chair', 'furniture', 79), (1, 'Table', 'furniture', 199), (2, 'Stool', 'furniture', 39),
        (3, 'Bench', 'furniture', 129), (4, 'Shelf', 'furniture', 59), (5, 'Desk', 'furniture', 249),
        (6, 'Cabinet', 'furniture', 299), (7, 'Wardrobe', 'furniture', 449), (8, 'Bed Frame', 'furniture', 399),
        (9, 'Side Table', 'furniture', 49),
        (10, 'Mug', 'kitchen', 9), (11, 'Plate', 'kitchen', 12), (12, 'Bowl', 'kitchen', 11),
        (13, 'Teapot', 'kitchen', 34), (14, 'Pan', 'kitchen', 45), (15, 'Kettle', 'kitchen', 39),
        (16, 'Carafe', 'kitchen', 19), (17, 'Cutting Board', 'kitchen', 25), (18, 'Knife', 'kitchen', 55),
        (19, 'Tray', 'kitchen', 18),
        (20, 'Lamp', 'lighting', 49), (21, 'Lantern', 'lighting', 29), (22, 'Pendant', 'lighting', 89),
        (23, 'Candle Holder', 'lighting', 15), (24, 'Floor Lamp', 'lighting', 119), (25, 'Desk Lamp', 'lighting', 65),
        (26, 'Spotlight', 'lighting', 35), (27, 'Wall Lamp', 'lighting', 59), (28, 'Night Light', 'lighting', 14),
        (29, 'Chandelier', 'lighting', 349),
        (30, 'Blanket', 'textiles', 69), (31, 'Cushion', 'textiles', 24), (32, 'Rug', 'textiles', 159),
        (33, 'Curtain', 'textiles', 49), (34, 'Towel', 'textiles', 16), (35, 'Tablecloth', 'textiles', 32),
        (36, 'Throw', 'textiles', 44), (37, 'Pillow', 'textiles', 29), (38, 'Apron', 'textiles', 22),
        (39, 'Doormat', 'textiles', 19),
        (40, 'Watering Can', 'garden', 27), (41, 'Planter', 'garden', 33), (42, 'Trowel', 'garden', 13),
        (43, 'Hammock', 'garden', 89), (44, 'Parasol', 'garden', 99), (45, 'Bird House', 'garden', 24),
        (46, 'Fire Bowl', 'garden', 139), (47, 'Hose Reel', 'garden', 57), (48, 'Deck Chair', 'garden', 69),
        (49, 'Wind Chime', 'garden', 21)),
    number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < 999)
INSERT INTO products (id, name, price, stock, category)
SELECT n + 1,
       look.word || ' ' || thing.word,
       thing.base + (n * 7 % 10) + 0.95,
       (n * 37 + 17) % 120,
       thing.category
FROM number
JOIN look ON look.i = n % 20
JOIN thing ON thing.i = (n / 20 + n) % 50;

CREATE INDEX products_by_category ON products (category, name);
