-- The menu.
select logic.pages()
