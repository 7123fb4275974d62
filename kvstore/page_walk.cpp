#include "kvstore/page_walk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "config/limits.h"
#include "kvstore/lmdb_format.h"

namespace loyal::kvstore {

namespace {

using namespace lmdb_format;

bool ascends(ByteView a, ByteView b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}
std::uint64_t number_in(ByteView key) {
    return load<std::uint64_t>(key, 0);
}

// The pages that LMDB loses track of do no harm, so a few of them are not called damage; a number of pages that is far
// from the truth is.
constexpr std::uint64_t lost_pages_harmless = 1024;
constexpr std::uint64_t pages_between_progress = 1U << 16U;

class File {
 public:
    File() = default;
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() {
        if (file_ >= 0) {
            ::close(file_);
        }
    }
    [[nodiscard]] Result<void> open(const std::filesystem::path& path) {
        path_ = path.string();
        file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        return file_ >= 0 ? Result<void>() : refused();
    }
    // What is beyond its end is zeros.
    [[nodiscard]] Result<void> read(std::uint64_t at, Bytes& into) const {
        std::size_t have = 0;
        while (have < into.size()) {
            const ssize_t got = ::pread(file_, into.data() + have, into.size() - have, static_cast<off_t>(at + have));
            if (got < 0 && errno != EINTR) {
                return refused();
            }
            if (got == 0) {
                std::fill(into.begin() + static_cast<std::ptrdiff_t>(have), into.end(), std::uint8_t{0});
                break;
            }
            have += got > 0 ? static_cast<std::size_t>(got) : 0;
        }
        return {};
    }

 private:
    [[nodiscard]] tl::unexpected<Error> refused() const {
        const Errc code = errno == ENOENT                     ? Errc::not_found
                          : errno == EACCES || errno == EPERM ? Errc::permission
                                                              : Errc::io;
        return fail(code, "cannot read " + path_ + ": " + std::system_category().message(errno));
    }

    std::string path_;
    int file_ = -1;
};

// ------------------------------------------------------------------------------------------------ the walk

// Damage is Errc::corrupted in here.
class Walk {
 public:
    explicit Walk(const PageWalk& asked) : asked_(asked) {}

    Result<void> run() {
        if (auto opened = file_.open(asked_.file); !opened) {
            return opened;
        }
        std::error_code error;
        file_bytes_ = std::filesystem::file_size(asked_.file, error);
        if (file_bytes_ == 0 && !error) {
            return {};  // a first start that went no further
        }
        if (auto read = read_metas(); !read) {
            return read;
        }
        if (auto walked = walk_snapshot(); !walked) {
            return walked;
        }
        // The older meta page leads to what came after it. Either the process ended while it wrote that page for the
        // next commit, the number last: then its main tree is still the one whose root the newest commit has freed,
        // LMDB takes the other page, and the next commit writes this one anew. Or it is that of the next commit, and
        // its number is wrong.
        return overtaken_ && !half_written_
                   ? wrong("a meta page is older than what it leads to: a commit would be lost")
                   : Result<void>();
    }

 private:
    enum class Kind : std::uint8_t { free_list, main, table };
    struct Bounds {
        std::optional<ByteView> from;  // keys are at least this
        std::optional<ByteView> to;    // and below this
    };

    static tl::unexpected<Error> wrong(std::string what) { return fail(Errc::corrupted, std::move(what)); }
    [[nodiscard]] tl::unexpected<Error> wrong_page(PageNumber page, const std::string& what) const {
        return wrong(where_ + ": page " + std::to_string(page) + " " + what);
    }

    Result<void> walk_snapshot() {
        claimed_.assign(meta_.last_page + 1, false);
        claimed_[0] = claimed_[1] = true;
        claimed_pages_ = 2;
        if (auto walked = walk_tree(meta_.free_list, Kind::free_list, "the list of free pages"); !walked) {
            return walked;
        }
        if (auto walked = walk_tree(meta_.main, Kind::main, "the list of tables"); !walked) {
            return walked;
        }
        if (auto walked = walk_tables(); !walked) {
            return walked;
        }
        if (meta_.last_page + 1 - claimed_pages_ > lost_pages_harmless) {
            return wrong("of " + std::to_string(meta_.last_page + 1) + " pages only " + std::to_string(claimed_pages_) +
                         " are in use or free");
        }
        return {};
    }

    // ---- Meta pages
    Result<Meta> read_meta(std::uint64_t at, PageNumber number) const {
        Bytes bytes(page_header_bytes + sizeof(Meta));
        if (auto read = file_.read(at, bytes); !read) {
            return tl::unexpected(read.error());
        }
        const auto meta = load<Meta>(bytes, page_header_bytes);
        if (load<PageHeader>(bytes, 0).flags != meta_page || meta.magic != magic || meta.version != format_version) {
            return wrong("page " + std::to_string(number) + " is no meta page");
        }
        return meta;
    }
    Result<void> read_metas() {
        const auto first = read_meta(0, 0);
        if (!first) {
            return tl::unexpected(first.error());
        }
        page_bytes_ = first->free_list.pad;
        if (!std::has_single_bit(page_bytes_) || page_bytes_ < page_bytes_min || page_bytes_ > page_bytes_max) {
            return wrong("a page of " + std::to_string(page_bytes_) + " bytes");
        }
        const auto second = read_meta(page_bytes_, 1);
        if (!second) {
            return tl::unexpected(second.error());
        }
        const bool never_written = first->transaction == 0 && second->transaction == 0;
        const bool in_turn =
            first->transaction % 2 == 0 && second->transaction % 2 == 1 &&
            (first->transaction + 1 == second->transaction || second->transaction + 1 == first->transaction);
        if ((!never_written && !in_turn) || second->free_list.pad != page_bytes_) {
            return wrong("the two meta pages contradict each other");
        }
        const Meta& older = first->transaction < second->transaction ? *first : *second;
        meta_ = first->transaction < second->transaction ? *second : *first;
        for (const Meta* meta : {static_cast<const Meta*>(&meta_), &older}) {
            if (meta->free_list.flags != integer_keys || meta->main.flags != 0 || meta->last_page < 1 ||
                meta->last_page >= limits::lmdb_map_bytes / page_bytes_) {
                return wrong("a meta page cannot be right");
            }
        }
        if (last_in_free_list(older) > older.transaction) {
            overtaken_ = older;
        }
        return {};
    }
    // The latest transaction whose freed pages a snapshot lists: each commit frees some, and the snapshot before the
    // newest one is still whole. Zero when that cannot be told; nobody needs its pages.
    std::uint64_t last_in_free_list(const Meta& meta) {
        Bytes page(page_bytes_);
        std::vector<Node> nodes;
        PageNumber number = meta.free_list.root;
        kind_ = Kind::free_list;
        for (unsigned height = std::min(meta.free_list.depth, depth_max); height > 0; --height) {
            if (number >= limits::lmdb_map_bytes / page_bytes_ || !file_.read(number * page_bytes_, page) ||
                !read_nodes(page, height > 1, number, nodes)) {
                return 0;
            }
            if (height == 1) {
                return may_be_key(nodes.back().key) ? number_in(nodes.back().key) : 0;
            }
            number = nodes.back().child;
        }
        return 0;
    }

    // ---- Pages
    Result<void> claim(PageNumber first, std::uint64_t count) {
        if (first < 2 || first > meta_.last_page || count > meta_.last_page + 1 - first) {
            return wrong(where_ + ": there is no page " + std::to_string(first));
        }
        for (PageNumber page = first; page < first + count; ++page) {
            if (claimed_[page]) {
                return wrong_page(page, "is used twice");
            }
            claimed_[page] = true;
        }
        claimed_pages_ += count;
        return {};
    }
    Result<void> read_nodes(ByteView page, bool branch, PageNumber number, std::vector<Node>& nodes) {
        const auto header = load<PageHeader>(page, 0);
        if (header.number != number || header.flags != (branch ? branch_page : leaf_page) ||
            header.lower <= page_header_bytes || header.lower % 2 != 0 || header.lower > header.upper ||
            header.upper > page_bytes_) {
            return wrong_page(number, "is not the " + std::string(branch ? "branch" : "leaf") + " that belongs there");
        }
        nodes.clear();
        spans_.clear();
        for (std::size_t at = page_header_bytes; at < header.lower; at += 2) {
            const std::size_t offset = load<std::uint16_t>(page, at);
            if (offset < header.upper || offset % 2 != 0 || offset + node_header_bytes > page_bytes_) {
                return wrong_page(number, "has a node at a place where none can be");
            }
            const std::size_t end = read_node(page, branch, offset, nodes);
            if (end > page_bytes_) {
                return wrong_page(number, "has a node that reaches beyond it");
            }
            spans_.emplace_back(offset, end);
        }
        std::sort(spans_.begin(), spans_.end());
        for (std::size_t i = 1; i < spans_.size(); ++i) {
            if (spans_[i].first < spans_[i - 1].second) {
                return wrong_page(number, "has nodes that overlap");
            }
        }
        return {};
    }
    // Its end; beyond the page: nothing was read.
    [[nodiscard]] std::size_t read_node(ByteView page, bool branch, std::size_t offset,
                                        std::vector<Node>& nodes) const {
        const std::uint64_t size = load<std::uint32_t>(page, offset);
        const auto flags = load<std::uint16_t>(page, offset + 4);
        const auto key_bytes = load<std::uint16_t>(page, offset + 6);
        Node node{flags, {}, 0, 0, {}};
        std::size_t stored = 0;
        if (branch) {
            node.flags = 0;
            node.child = size | static_cast<std::uint64_t>(flags) << 32U;
        } else {
            node.content_bytes = size;
            stored = (flags & content_in_overflow) != 0 ? sizeof(PageNumber) : size;
        }
        const std::size_t end = offset + node_header_bytes + key_bytes + stored;
        if (end <= page_bytes_) {
            node.key = page.subspan(offset + node_header_bytes, key_bytes);
            node.stored = page.subspan(offset + node_header_bytes + key_bytes, stored);
            nodes.push_back(node);
        }
        return end;
    }

    // ---- Trees
    Result<void> walk_tree(const Tree& tree, Kind kind, std::string where) {
        where_ = std::move(where);
        kind_ = kind;
        seen_ = {};
        seen_.flags = tree.flags;
        if (tree.depth > depth_max || (tree.depth == 0) != (tree.root == no_page)) {
            return wrong(where_ + ": a depth that cannot be");
        }
        levels_.resize(std::max<std::size_t>(levels_.size(), tree.depth));
        if (tree.depth > 0) {
            if (auto walked = walk_page(tree.root, tree.depth, 0, {}); !walked) {
                return walked;
            }
        }
        if (seen_.branch_pages != tree.branch_pages || seen_.leaf_pages != tree.leaf_pages ||
            seen_.overflow_pages != tree.overflow_pages || seen_.entries != tree.entries) {
            return wrong(where_ + ": " + std::to_string(seen_.entries) + " records in " +
                         std::to_string(seen_.branch_pages + seen_.leaf_pages + seen_.overflow_pages) +
                         " pages are found, " + std::to_string(tree.entries) + " in " +
                         std::to_string(tree.branch_pages + tree.leaf_pages + tree.overflow_pages) + " were counted");
        }
        return {};
    }
    [[nodiscard]] bool ordered(ByteView a, ByteView b) const {
        return kind_ == Kind::free_list ? number_in(a) < number_in(b) : ascends(a, b);
    }
    [[nodiscard]] bool may_be_key(ByteView key) const {
        return kind_ == Kind::free_list ? key.size() == sizeof(std::uint64_t)
                                        : !key.empty() && key.size() <= key_bytes_max;
    }
    // The first key of a branch is never looked at.
    Result<void> check_order(const std::vector<Node>& nodes, bool branch, PageNumber page, const Bounds& bounds) const {
        const std::size_t first = branch ? 1 : 0;
        for (std::size_t i = first; i < nodes.size(); ++i) {
            if (!may_be_key(nodes[i].key)) {
                return wrong_page(page, "has a key that cannot be");
            }
            if (i > first && !ordered(nodes[i - 1].key, nodes[i].key)) {
                return wrong_page(page, "has keys out of order");
            }
        }
        if (nodes.size() > first && ((bounds.from && ordered(nodes[first].key, *bounds.from)) ||
                                     (bounds.to && !ordered(nodes.back().key, *bounds.to)))) {
            return wrong_page(page, "has keys that no search finds");
        }
        return {};
    }
    Result<void> walk_page(PageNumber number, unsigned height, unsigned level, const Bounds& bounds) {
        const bool branch = height > 1;
        if (auto claimed = claim(number, 1); !claimed) {
            return claimed;
        }
        Level& at = levels_[level];
        at.page.resize(page_bytes_);
        if (auto read = file_.read(number * page_bytes_, at.page); !read) {
            return read;
        }
        if (auto read = read_nodes(at.page, branch, number, at.nodes); !read) {
            return read;
        }
        if (auto sound = check_order(at.nodes, branch, number, bounds); !sound) {
            return sound;
        }
        return branch ? walk_children(number, height, level, bounds) : walk_leaf(number, at.nodes);
    }
    Result<void> walk_children(PageNumber number, unsigned height, unsigned level, const Bounds& bounds) {
        ++seen_.branch_pages;
        const std::vector<Node>& nodes = levels_[level].nodes;
        if (nodes.size() < 2 && kind_ != Kind::free_list) {
            return wrong_page(number, "has one branch only");  // LMDB ends the process when it meets one
        }
        for (std::size_t i = 0; i < nodes.size(); ++i) {
            const Bounds below{i == 0 ? bounds.from : nodes[i].key,
                               i + 1 < nodes.size() ? std::optional(nodes[i + 1].key) : bounds.to};
            if (auto walked = walk_page(nodes[i].child, height - 1, level + 1, below); !walked) {
                return walked;
            }
        }
        return {};
    }
    Result<void> walk_leaf(PageNumber number, const std::vector<Node>& nodes) {
        ++seen_.leaf_pages;
        for (const Node& node : nodes) {
            if (auto sound = check_record(number, node); !sound) {
                return sound;
            }
            if (++seen_.entries; kind_ == Kind::table && ++records_ % pages_between_progress == 0 && asked_.progress) {
                asked_.progress(records_);
            }
        }
        return {};
    }

    // ---- Records
    Result<void> check_record(PageNumber number, const Node& node) {
        if (kind_ == Kind::main) {
            if (node.flags != content_is_table || node.content_bytes != sizeof(Tree)) {
                return wrong_page(number, "has something else than a table");
            }
            found_.emplace_back(std::string(node.key.begin(), node.key.end()), load<Tree>(node.stored, 0));
            return {};
        }
        if (node.flags != 0 && node.flags != content_in_overflow) {
            return wrong_page(number, "has a record of a kind that cannot be");
        }
        if (node.flags == content_in_overflow) {
            if (auto sound = check_run(node); !sound) {
                return sound;
            }
        }
        return kind_ == Kind::free_list ? check_free_pages(node) : Result<void>();
    }
    Result<void> check_run(const Node& node) {
        const PageNumber first = number_in(node.stored);
        const std::uint64_t needed = (page_header_bytes - 1 + node.content_bytes) / page_bytes_ + 1;
        if (auto claimed = claim(first, needed); !claimed) {
            return claimed;
        }
        Bytes bytes(page_header_bytes);
        if (auto read = file_.read(first * page_bytes_, bytes); !read) {
            return read;
        }
        const auto header = load<PageHeader>(bytes, 0);
        if (header.number != first || header.flags != overflow_page || header.run() < needed) {
            return wrong_page(first, "does not begin the large record that belongs there");
        }
        seen_.overflow_pages += header.run();
        // One that was longer before keeps its pages.
        return header.run() > needed ? claim(first + needed, header.run() - needed) : Result<void>();
    }
    // By transaction: a count and so many page numbers, descending.
    Result<void> check_free_pages(const Node& node) {
        Bytes run;
        ByteView content = node.stored;
        if (node.flags == content_in_overflow) {
            if (node.content_bytes > file_bytes_) {
                return wrong(where_ + " is longer than the file");
            }
            run.resize(node.content_bytes);
            if (auto read = file_.read(number_in(node.stored) * page_bytes_ + page_header_bytes, run); !read) {
                return read;
            }
            content = run;
        }
        const std::size_t room = content.size() / sizeof(PageNumber);
        const std::uint64_t count = room > 0 ? number_in(content) : no_page;
        if (count >= room || number_in(node.key) > meta_.transaction) {
            return wrong(where_ + " is damaged");
        }
        for (std::uint64_t i = 1; i <= count; ++i) {
            const auto page = load<PageNumber>(content, i * sizeof(PageNumber));
            if (i > 1 && page >= load<PageNumber>(content, (i - 1) * sizeof(PageNumber))) {
                return wrong(where_ + " is out of order");
            }
            if (auto claimed = claim(page, 1); !claimed) {
                return claimed;
            }
            half_written_ = half_written_ ||
                            (overtaken_ && page == overtaken_->main.root && number_in(node.key) == meta_.transaction);
        }
        return {};
    }

    // ---- Tables
    Result<void> walk_tables() {
        if (found_.empty()) {
            return {};
        }
        for (const std::string& name : asked_.tables) {
            if (std::none_of(found_.begin(), found_.end(), [&](const auto& table) { return table.first == name; })) {
                return wrong("the table " + name + " is missing");
            }
        }
        const auto tables = std::move(found_);
        found_.clear();
        for (const auto& [name, tree] : tables) {
            if (tree.flags != 0) {
                return wrong("the table " + name + " is of a kind that cannot be");
            }
            if (auto walked = walk_tree(tree, Kind::table, "table " + name); !walked) {
                return walked;
            }
        }
        return {};
    }

    struct Level {
        Bytes page;
        std::vector<Node> nodes;  // views of `page`
    };

    const PageWalk& asked_;
    File file_;
    std::uintmax_t file_bytes_ = 0;
    std::size_t page_bytes_ = 0;
    Meta meta_;                      // the newest
    std::optional<Meta> overtaken_;  // the older one, if it leads to what came later
    bool half_written_ = false;      // that one
    std::vector<bool> claimed_;      // by page number
    std::uint64_t claimed_pages_ = 0;
    std::vector<std::pair<std::string, Tree>> found_;  // tables, by name
    std::uint64_t records_ = 0;
    // Of the tree that is walked.
    Kind kind_ = Kind::free_list;
    std::string where_;
    Tree seen_;
    std::vector<Level> levels_;
    std::vector<std::pair<std::size_t, std::size_t>> spans_;  // of one page
};

}  // namespace

Result<std::optional<std::string>> walk_pages(const PageWalk& walk) {
    const Result<void> walked = Walk(walk).run();
    if (!walked && walked.error().code != Errc::corrupted) {
        return tl::unexpected(walked.error());
    }
    return walked ? std::optional<std::string>() : std::optional(walked.error().message);
}

}  // namespace loyal::kvstore
