-- From the page to print: what the page marks by class becomes a function of template.typ, and what it folds away
-- becomes an appendix.

local appendix = pandoc.List()

local function inlines(before, content)
  return { pandoc.RawInline("typst", before .. "["), pandoc.Span(content), pandoc.RawInline("typst", "]") }
end

local function blocks(before, content)
  local all = pandoc.List({ pandoc.RawBlock("typst", before .. "[") })
  all:extend(content)
  all:insert(pandoc.RawBlock("typst", "]"))
  return all
end

-- Columns as parts of the page's width, for the tables whose words need room; others are as wide as they are.
local WIDTHS = {
  claims = { [4] = { 0.36, 0.15, 0.18, 0.31 }, [5] = { 0.28, 0.14, 0.16, 0.16, 0.26 } },
  summary = { [4] = { 0.07, 0.42, 0.15, 0.36 } },
  errata = { [4] = { 0.29, 0.29, 0.28, 0.14 } },
  index = { [2] = { 0.32, 0.68 } },
  positions = { [2] = { 0.3, 0.7 } },
  sums = { [4] = { 0.24, 0.22, 0.1, 0.44 } },
}

local function set_columns(wanted)
  return function(table)
    local head = table.head.rows[1]
    for k, spec in ipairs(table.colspecs) do
      local right = head and head.cells[k].classes:includes("number")
      table.colspecs[k] = { right and pandoc.AlignRight or pandoc.AlignLeft, wanted and wanted[k] or nil }
    end
    return table
  end
end

local function columns_of(div)
  for class, by_count in pairs(WIDTHS) do
    if div.classes:includes(class) then return by_count end
  end
  return {}
end

local function print_table(div)
  local by_count = columns_of(div)
  return div:walk({
    -- Code in a cell may break after its marks; it would run into the next column.
    Str = function(str)
      if #str.text > 20 then return pandoc.Str((str.text:gsub("([_%(%)=,*/$])", "%1\u{200B}"))) end
    end,
    Table = function(table) return set_columns(by_count[#table.colspecs])(table) end,
  }).content
end

function Span(span)
  if span.classes:includes("verdict") then
    return inlines('#verdict("' .. (span.classes[2] or "open") .. '")', span.content)
  end
  for _, name in ipairs({ "small", "place", "caveat", "quiet" }) do
    if span.classes:includes(name) then return inlines("#" .. name, span.content) end
  end
  -- The words that a fold shows are said in the appendix.
  if span.classes:includes("fold") then return {} end
end

-- A link within the page to what the page does not have would stop typst: its words stay, the link goes.
local function unlink(document)
  local known = {}
  local function note(element) known["#" .. element.identifier] = true end
  document:walk({ Div = note, Header = note, Span = note })
  return document:walk({
    Link = function(link)
      if link.target:sub(1, 1) == "#" and not known[link.target] then return link.content end
    end,
  })
end

-- An animation does not move on paper: the figure before it stands for it.
function Figure(figure)
  if figure.classes:includes("animation") then return {} end
end

function Image(image)
  image.attributes.width = "68%"
  return image
end

-- pandoc leaves out the "data-" of names that are not HTML's own.
local function attribute(div, name)
  local value = div.attributes[name] or div.attributes["data-" .. name] or ""
  return value ~= "" and value or nil
end

local function fold(div)
  appendix:insert(div)
  local name = "fold-" .. #appendix
  div.identifier = name
  return blocks("#see(<" .. name .. ">)", { pandoc.Plain(attribute(div, "title")) })
end

local function in_order(div)
  local class = div.classes
  if class:includes("table") then return print_table(div) end
  if class:includes("tile") then return blocks('#tile("' .. class[2] .. '")', div.content) end
  for _, name in ipairs({ "tiles", "caveats", "brief", "source" }) do
    if class:includes(name) then return blocks("#" .. name, div.content) end
  end
  if class:includes("details") then return fold(div) end
  if class:includes("section") then
    if div.content[1] and div.content[1].t == "Header" then div.content[1].identifier = div.identifier end
    return div.content
  end
end

-- What was folded away, each under the heading of the section it is from.
local function appendix_blocks()
  local all = pandoc.List()
  if #appendix == 0 then return all end
  all:insert(pandoc.Header(1, "Appendix: details", pandoc.Attr("appendix")))
  all:insert(pandoc.RawBlock("typst", "#set text(size: 8.5pt)"))
  for k, div in ipairs(appendix) do
    local title = attribute(div, "title")
    if attribute(div, "of") then title = attribute(div, "of") .. " · " .. title end
    all:insert(pandoc.Header(3, title, pandoc.Attr("fold-" .. k)))
    all:extend(div.content)
  end
  return all
end

return {
  { Pandoc = unlink },
  { Span = Span, Figure = Figure, Image = Image },
  { Div = in_order },
  { Pandoc = function(document)
      local all = pandoc.List()
      for _, block in ipairs(document.blocks) do
        -- The summary comes first, the contents after it.
        if block.identifier == "what-was-reproduced" then all:insert(pandoc.RawBlock("typst", "#contents")) end
        all:insert(block)
      end
      document.blocks = all .. appendix_blocks()
      return document
    end },
}
