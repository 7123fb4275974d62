#include "client/lab/toml_fields.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "replica/faults/fault_spec.h"

namespace loyal::lab {

TomlFields::TomlFields(const toml::table& table, std::string where, std::optional<Error>& error, const Names& known)
    : table_(table), where_(std::move(where)), error_(error) {
    for (const auto& [key, node] : table_) {
        if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
            refuse(key.str(), fmt::format("no such field; {} has {}", where_, fmt::join(known, ", ")));
        }
    }
}

std::string TomlFields::text(std::string_view key, const std::string& absent) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return absent;
    }
    const auto value = node->value_exact<std::string>();
    if (!value) {
        refuse(key, "expected a text in quotation marks");
    }
    return value.value_or(absent);
}

std::string TomlFields::needed_text(std::string_view key) {
    std::string value = text(key, "");
    if (value.empty()) {
        refuse(key, "is missing; give it in a sentence");
    }
    return value;
}

bool TomlFields::is_flag(std::string_view key) const {
    const toml::node* node = table_.get(key);
    return node != nullptr && node->is_boolean();
}

bool TomlFields::flag(std::string_view key, bool absent) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return absent;
    }
    const auto value = node->value_exact<bool>();
    if (!value) {
        refuse(key, "expected true or false");
    }
    return value.value_or(absent);
}

std::uint64_t TomlFields::number(std::string_view key, std::uint64_t min, std::uint64_t max, std::uint64_t absent) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return absent;
    }
    const auto value = node->value_exact<std::int64_t>();
    if (!value) {
        refuse(key, "expected a whole number");
        return absent;
    }
    if (*value < 0 || static_cast<std::uint64_t>(*value) < min || static_cast<std::uint64_t>(*value) > max) {
        refuse(key, fmt::format("{} is out of range; give {} to {}", *value, min, max));
        return absent;
    }
    return static_cast<std::uint64_t>(*value);
}

double TomlFields::real(std::string_view key, double min, double max, double absent) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return absent;
    }
    if (!node->is_number()) {
        refuse(key, "expected a number");
        return absent;
    }
    const double value = node->value<double>().value_or(absent);
    if (!(value >= min && value <= max)) {
        refuse(key, fmt::format("{} is out of range; give {} to {}", value, min, max));
        return absent;
    }
    return value;
}

std::uint64_t TomlFields::duration_ms(std::string_view key, std::uint64_t min, std::uint64_t max,
                                      std::uint64_t absent) {
    if (!has(key)) {
        return absent;
    }
    const Result<std::uint64_t> value = replica::parse_duration_ms(text(key, "-"));
    if (!value) {
        refuse(key, "expected a duration such as \"250ms\" or \"2s\"");
        return absent;
    }
    if (*value < min || *value > max) {
        refuse(key, fmt::format("{} ms is out of range; give {} to {} ms", *value, min, max));
        return absent;
    }
    return *value;
}

std::size_t TomlFields::choice(std::string_view key, const Names& words, std::size_t absent) {
    if (!has(key)) {
        return absent;
    }
    const std::string word = text(key, "");
    const auto found = std::find(words.begin(), words.end(), word);
    if (found == words.end()) {
        refuse(key, fmt::format("\"{}\" is none of {}", word, fmt::join(words, ", ")));
        return absent;
    }
    return static_cast<std::size_t>(found - words.begin());
}

std::vector<std::string> TomlFields::texts(std::string_view key) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return {};
    }
    const toml::array* list = node->as_array();
    if (list == nullptr) {
        return {text(key, "")};
    }
    std::vector<std::string> all;
    for (const toml::node& item : *list) {
        const auto value = item.value_exact<std::string>();
        if (!value) {
            refuse(key, "expected a list of texts, such as [\"agreement\"]");
            return {};
        }
        all.push_back(*value);
    }
    return all;
}

std::string TomlFields::ids(std::string_view key) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return "";
    }
    if (const auto one = node->value_exact<std::int64_t>()) {
        return std::to_string(*one);
    }
    if (const toml::array* list = node->as_array()) {
        std::vector<std::int64_t> all;
        for (const toml::node& item : *list) {
            const auto value = item.value_exact<std::int64_t>();
            if (!value) {
                refuse(key, "expected replica numbers, such as [0, 1]");
                return "";
            }
            all.push_back(*value);
        }
        return fmt::format("{}", fmt::join(all, ","));
    }
    return text(key, "");
}

const toml::table& TomlFields::table(std::string_view key) {
    static const toml::table empty;
    const toml::node* node = table_.get(key);
    if (node != nullptr && !node->is_table()) {
        refuse(key, fmt::format("expected a table, [{}]", key));
    }
    return node != nullptr && node->is_table() ? *node->as_table() : empty;
}

std::vector<const toml::table*> TomlFields::tables(std::string_view key, std::size_t count_max) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) {
        return {};
    }
    const toml::array* list = node->as_array();
    if (list == nullptr || (!list->empty() && !list->is_homogeneous<toml::table>())) {
        refuse(key, fmt::format("expected tables, [[{}]]", key));
        return {};
    }
    if (list->size() > count_max) {
        refuse(key, fmt::format("{} are too many; at most {}", list->size(), count_max));
        return {};
    }
    std::vector<const toml::table*> all;
    for (const toml::node& item : *list) {
        all.push_back(item.as_table());
    }
    return all;
}

void TomlFields::refuse(std::string_view key, const std::string& why) {
    if (error_) {
        return;
    }
    const toml::node* node = table_.get(key);
    const auto line = node != nullptr ? node->source().begin.line : table_.source().begin.line;
    const std::string place = line == 0 ? "" : fmt::format("line {}: ", line);
    error_ = Error{Errc::invalid_argument, fmt::format("{}{} {}: {}", place, where_, key, why)};
}

}  // namespace loyal::lab
