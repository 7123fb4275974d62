// Reading a TOML table strictly: every field is named, typed and bounded, whatever else is in it is an error. The first
// error is kept with its place; after it every field reads as its default, so that a reader takes all fields and looks
// at the error once. Private to client/lab.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

#include "config/result.h"

namespace loyal::lab {

class TomlFields {
 public:
    using Names = std::vector<std::string_view>;

    // `where` is "[cluster]", for messages.
    TomlFields(const toml::table& table, std::string where, std::optional<Error>& error, const Names& known);

    [[nodiscard]] bool has(std::string_view key) const { return table_.get(key) != nullptr; }
    [[nodiscard]] std::string text(std::string_view key, const std::string& absent);
    [[nodiscard]] std::string needed_text(std::string_view key);
    [[nodiscard]] bool is_flag(std::string_view key) const;  // true or false, whichever
    [[nodiscard]] bool flag(std::string_view key, bool absent);
    [[nodiscard]] std::uint64_t number(std::string_view key, std::uint64_t min, std::uint64_t max,
                                       std::uint64_t absent);
    // Whole numbers count, too.
    [[nodiscard]] double real(std::string_view key, double min, double max, double absent);
    // "250ms", "2s"
    [[nodiscard]] std::uint64_t duration_ms(std::string_view key, std::uint64_t min, std::uint64_t max,
                                            std::uint64_t absent);
    // One of a few words; its index.
    [[nodiscard]] std::size_t choice(std::string_view key, const Names& words, std::size_t absent);
    // A text or a list of texts.
    [[nodiscard]] std::vector<std::string> texts(std::string_view key);
    // A text, a whole number or a list of whole numbers, as text: "0,1".
    [[nodiscard]] std::string ids(std::string_view key);
    // The table, or an empty one.
    [[nodiscard]] const toml::table& table(std::string_view key);
    // Of [[key]]; empty when absent.
    [[nodiscard]] std::vector<const toml::table*> tables(std::string_view key, std::size_t count_max);

    void refuse(std::string_view key, const std::string& why);

 private:
    const toml::table& table_;
    std::string where_;
    std::optional<Error>& error_;
};

}  // namespace loyal::lab
