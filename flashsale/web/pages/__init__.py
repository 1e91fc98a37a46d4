"""Pages for shoppers in Indonesian and English: the sale, codes, orders, links of letters, reports."""
