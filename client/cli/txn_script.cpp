#include "client/cli/txn_script.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/bytes_argument.h"
#include "client/cli/connection.h"
#include "client/cli/model_arguments.h"
#include "config/limits.h"

namespace loyal::cli {

namespace {

bool is_space(char c) {
    return c == ' ' || c == '\t';
}

// Reads a line from left to right.
class Cursor {
 public:
    explicit Cursor(std::string_view text) : rest_(text) { skip_spaces(); }

    [[nodiscard]] bool at_end() const { return rest_.empty(); }
    [[nodiscard]] std::string_view rest() const { return rest_; }
    void skip_spaces() {
        while (!rest_.empty() && is_space(rest_.front())) {
            rest_.remove_prefix(1);
        }
    }
    [[nodiscard]] bool take(std::string_view token) {
        if (!rest_.starts_with(token)) {
            return false;
        }
        rest_.remove_prefix(token.size());
        skip_spaces();
        return true;
    }
    // Up to one of `ends` or the end of the line.
    [[nodiscard]] std::string_view take_until(std::string_view ends) {
        const std::size_t size = std::min(rest_.find_first_of(ends), rest_.size());
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    // A word in quotes, or without them up to one of `ends`.
    [[nodiscard]] Answer<std::string> word(std::string_view ends) {
        if (rest_.starts_with('"')) {
            return double_quoted();
        }
        if (rest_.starts_with('\'')) {
            rest_.remove_prefix(1);
            const std::string_view taken = take_until("'");
            return close('\'', std::string(taken));
        }
        return std::string(take_until(ends));
    }

 private:
    [[nodiscard]] Answer<std::string> close(char quote, std::string text) {
        if (!rest_.starts_with(quote)) {
            return refuse_input(fmt::format("a {} is not closed", quote));
        }
        rest_.remove_prefix(1);
        return text;
    }
    [[nodiscard]] Answer<std::string> double_quoted() {
        rest_.remove_prefix(1);
        std::string text;
        while (!rest_.empty() && rest_.front() != '"') {
            const char c = rest_.front();
            rest_.remove_prefix(1);
            if (c != '\\') {
                text.push_back(c);
                continue;
            }
            const Answer<char> escaped = escape();
            if (!escaped) {
                return tl::unexpected<Failure>(escaped.error());
            }
            text.push_back(*escaped);
        }
        return close('"', std::move(text));
    }
    // What follows a backslash.
    [[nodiscard]] Answer<char> escape() {
        const char c = rest_.empty() ? ' ' : rest_.front();
        rest_.remove_prefix(rest_.empty() ? 0 : 1);
        switch (c) {
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case '"':
            case '\'':
            case '\\': return c;
            case 'x': {
                unsigned value = 0;
                const std::string_view digits = rest_.substr(0, 2);
                const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
                if (digits.size() == 2 && error == std::errc() && end == digits.data() + 2) {
                    rest_.remove_prefix(2);
                    return static_cast<char>(static_cast<unsigned char>(value));
                }
                break;
            }
            default: break;
        }
        return refuse_input(R"(after a backslash comes n, r, t, ", \ or xHH)");
    }

    std::string_view rest_;
};

Answer<void> read_operand(kvstore::Compare& compare, const std::string& operand, TextForm form) {
    if (compare.target == kvstore::CompareTarget::value) {
        return value_text(operand, form).map([&compare](Bytes value) { compare.value = std::move(value); });
    }
    const auto [end, error] = std::from_chars(operand.data(), operand.data() + operand.size(), compare.number);
    if (error != std::errc() || end != operand.data() + operand.size()) {
        return refuse_input(fmt::format("\"{}\" is no whole number, as the target needs", operand));
    }
    return {};
}

// The options of one request; CLI11 takes the line apart as it does a command line.
struct Request {
    std::string key;
    std::string value;
    std::string end;
    std::string to;
    std::string revision;
    std::string lease;
    std::string ttl;
    std::string fence;
    std::uint32_t limit = 0;
    bool prefix = false;
    bool keys_only = false;
    bool count = false;
    bool reverse = false;
};

struct RequestParser {
    RequestParser() {
        app.require_subcommand(1);
        app.set_help_flag();
        for (CLI::App* command : {put, get, del}) {
            command->set_help_flag();
            command->add_option("key", request.key)->required();
        }
        put->add_option("value", request.value)->required();
        put->add_option("--lease", request.lease)->excludes(put->add_option("--ttl", request.ttl));
        for (CLI::App* command : {put, del}) {
            command->add_option("--fence", request.fence);
        }
        for (CLI::App* command : {get, del}) {
            CLI::Option* end = command->add_option("end", request.end);
            command->add_option("--to", request.to)->excludes(end);
            command->add_flag("--prefix", request.prefix)->excludes("--to")->excludes(end);
        }
        get->add_option("--rev", request.revision);
        get->add_option("--limit", request.limit);
        get->add_flag("--keys-only", request.keys_only);
        get->add_flag("--count,--count-only", request.count);
        get->add_flag("--reverse", request.reverse);
    }

    Request request;
    CLI::App app;
    CLI::App* put = app.add_subcommand("put");
    CLI::App* get = app.add_subcommand("get");
    CLI::App* del = app.add_subcommand("del");
};

// The end of a range, if the request names one.
Answer<std::optional<Bytes>> end_of(const Request& request, const Bytes& key, TextForm form) {
    if (request.prefix) {
        return std::optional(end_of_prefix(key));
    }
    const std::string& text = request.end.empty() ? request.to : request.end;
    if (text.empty()) {
        return std::optional<Bytes>();
    }
    return key_argument(text, form)
        .and_then(
            [&key](Bytes end) -> Answer<Bytes> { return check_range(key, end).map([&end] { return std::move(end); }); })
        .map([](Bytes end) { return std::optional(std::move(end)); });
}

Answer<std::optional<kvstore::Fence>> fence_of_request(const Request& request) {
    if (request.fence.empty()) {
        return std::optional<kvstore::Fence>();
    }
    return fence_argument(request.fence).map([](kvstore::Fence fence) { return std::optional(std::move(fence)); });
}

Answer<kvstore::TxnOperation> put_of_request(const Request& request, TextForm form) {
    kvstore::Put put;
    Answer<Bytes> key = key_argument(request.key, form);
    Answer<Bytes> value = value_text(request.value, form);
    auto fence = fence_of_request(request);
    if (!key || !value || !fence) {
        return tl::unexpected<Failure>(!key ? key.error() : !value ? value.error() : fence.error());
    }
    put.key = std::move(*key);
    put.value = std::move(*value);
    put.fence = std::move(*fence);
    if (!request.lease.empty()) {
        const Answer<std::uint64_t> lease = number_argument(request.lease, "--lease: a lease");
        if (!lease) {
            return tl::unexpected<Failure>(lease.error());
        }
        put.lease = kvstore::LeaseId(*lease);
    }
    if (!request.ttl.empty()) {
        const Answer<std::uint64_t> ttl = ttl_argument(request.ttl);
        if (!ttl) {
            return tl::unexpected<Failure>(ttl.error());
        }
        put.ttl_ms = *ttl;
    }
    return kvstore::TxnOperation(std::move(put));
}

Answer<kvstore::TxnOperation> range_or_delete_of(const Request& request, bool deletes, TextForm form) {
    Answer<Bytes> key = request.prefix ? decode_text(request.key, form, "prefix") : key_argument(request.key, form);
    if (!key) {
        return tl::unexpected<Failure>(std::move(key.error()));
    }
    auto end = end_of(request, *key, form);
    auto fence = fence_of_request(request);
    if (!end || !fence) {
        return tl::unexpected<Failure>(!end ? end.error() : fence.error());
    }
    if (deletes) {
        return kvstore::TxnOperation(kvstore::Delete{std::move(*key), std::move(*end), std::move(*fence)});
    }
    kvstore::Range range;
    range.begin = std::move(*key);
    range.end = std::move(*end);
    range.limit = request.limit;
    range.keys_only = request.keys_only;
    range.count_only = request.count;
    range.reverse = request.reverse;
    if (!request.revision.empty()) {
        const Answer<std::uint64_t> revision = number_argument(request.revision, "--rev: a revision");
        if (!revision) {
            return tl::unexpected<Failure>(revision.error());
        }
        range.revision = kvstore::Revision(*revision);
    }
    return kvstore::TxnOperation(std::move(range));
}

}  // namespace

Answer<std::vector<std::string>> words_of_request(std::string_view line) {
    Cursor cursor(line);
    std::vector<std::string> words;
    while (!cursor.at_end()) {
        Answer<std::string> word = cursor.word(" \t");
        if (!word) {
            return tl::unexpected<Failure>(std::move(word.error()));
        }
        if (!cursor.at_end() && !is_space(cursor.rest().front())) {
            return refuse_input("a quotation mark is followed by a space");
        }
        cursor.skip_spaces();
        words.push_back(std::move(*word));
    }
    return words;
}

Answer<kvstore::Compare> parse_compare(std::string_view line, TextForm form) {
    using kvstore::CompareTarget;
    using kvstore::Relation;
    static const std::map<std::string_view, CompareTarget> targets = {
        {"value", CompareTarget::value},  {"val", CompareTarget::value},      {"version", CompareTarget::version},
        {"ver", CompareTarget::version},  {"create", CompareTarget::created}, {"c", CompareTarget::created},
        {"mod", CompareTarget::modified}, {"m", CompareTarget::modified},     {"lease", CompareTarget::lease}};
    constexpr std::string_view form_text = R"(a comparison is TARGET("key") OP "operand", such as mod("key1") > "0")";
    Cursor cursor(line);
    const std::string_view name = cursor.take_until("( \t");
    const auto target = targets.find(name);
    cursor.skip_spaces();
    if (!cursor.take("(")) {
        return refuse_input(std::string(form_text));
    }
    if (target == targets.end()) {
        return refuse_input(fmt::format("\"{}\" is no target; there are value, version, create, mod and lease", name));
    }
    kvstore::Compare compare;
    compare.target = target->second;
    const Answer<std::string> key = cursor.word(")");
    if (!key) {
        return tl::unexpected<Failure>(key.error());
    }
    cursor.skip_spaces();
    if (!cursor.take(")")) {
        return refuse_input(std::string(form_text));
    }
    if (cursor.take("!=")) {
        compare.relation = Relation::not_equal;
    } else if (cursor.take("=")) {
        compare.relation = Relation::equal;
    } else if (cursor.take("<")) {
        compare.relation = Relation::less;
    } else if (cursor.take(">")) {
        compare.relation = Relation::greater;
    } else {
        return refuse_input(fmt::format("\"{}\" begins with no operator; there are =, !=, < and >", cursor.rest()));
    }
    const bool has_operand = !cursor.at_end();
    const Answer<std::string> operand = cursor.word(" \t");
    if (!operand) {
        return tl::unexpected<Failure>(operand.error());
    }
    cursor.skip_spaces();
    if (!has_operand || !cursor.at_end()) {
        return refuse_input(std::string(form_text));
    }
    Answer<Bytes> bytes = key_argument(*key, form);
    if (!bytes) {
        return tl::unexpected<Failure>(std::move(bytes.error()));
    }
    compare.key = std::move(*bytes);
    return read_operand(compare, *operand, form).map([&compare] { return std::move(compare); });
}

Answer<kvstore::TxnOperation> parse_request(std::string_view line, TextForm form) {
    Answer<std::vector<std::string>> words = words_of_request(line);
    if (!words) {
        return tl::unexpected<Failure>(std::move(words.error()));
    }
    if (words->empty() || (words->front() != "put" && words->front() != "get" && words->front() != "del")) {
        return refuse_input("a request is put K V, get K or del K, with their options");
    }
    const auto parser = std::make_unique<RequestParser>();
    try {
        parser->app.parse(std::vector<std::string>(words->rbegin(), words->rend()));
    } catch (const CLI::ParseError& error) {
        return refuse_input(error.what());
    }
    return parser->put->parsed() ? put_of_request(parser->request, form)
                                 : range_or_delete_of(parser->request, parser->del->parsed(), form);
}

Answer<void> TxnScript::add(std::string_view line) {
    const auto room_in = [](const auto& parts) -> Answer<void> {
        if (parts.size() < limits::txn_parts_max) {
            return {};
        }
        return refuse_input(fmt::format("a transaction has at most {0} comparisons, and {0} requests in each branch",
                                        limits::txn_parts_max));
    };
    if (part_ == Part::compares) {
        return room_in(txn_.compares).and_then([&] { return parse_compare(line, form_); }).map([&](auto compare) {
            txn_.compares.push_back(std::move(compare));
        });
    }
    auto& branch = part_ == Part::then ? txn_.then : txn_.otherwise;
    return room_in(branch).and_then([&] { return parse_request(line, form_); }).map([&](auto request) {
        branch.push_back(std::move(request));
    });
}

Answer<void> TxnScript::take(std::string_view line, std::uint64_t number) {
    const bool blank = std::all_of(line.begin(), line.end(), [](char c) { return is_space(c) || c == '\r'; });
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    Answer<void> taken;
    if (blank) {
        part_ = part_ == Part::end ? Part::end : static_cast<Part>(static_cast<int>(part_) + 1);
    } else if (part_ == Part::end) {
        taken = refuse_input("nothing comes after the third part; parts are separated by one empty line");
    } else {
        taken = add(line);
    }
    if (!taken) {
        Failure failure = taken.error();
        failure.message = fmt::format("line {}: {}", number, failure.message);
        return tl::unexpected<Failure>(std::move(failure));
    }
    return {};
}

}  // namespace loyal::cli
