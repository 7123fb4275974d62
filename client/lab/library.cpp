// Finding a scenario by name or path.
#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "client/lab/scenario.h"
#include "config/files.h"

namespace loyal::lab {

namespace {

// Edit distance (Levenshtein), for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        row[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            diagonal = above;
        }
    }
    return row.back();
}

std::string close_names(const std::string& name) {
    std::vector<std::string> close;
    for (const ShippedScenario& each : shipped_scenarios()) {
        if (distance(name, each.name) <= 3 || (name.size() > 3 && each.name.find(name) != std::string_view::npos)) {
            close.emplace_back(each.name);
        }
    }
    return close.empty() ? "" : fmt::format("; there is {}", fmt::join(close, ", "));
}

}  // namespace

Result<std::string> scenario_text(const std::string& name_or_path) {
    const auto& all = shipped_scenarios();
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const ShippedScenario& each) { return each.name == name_or_path; });
    if (found != all.end()) {
        return std::string(found->text);
    }
    std::error_code ignored;
    if (!std::filesystem::exists(name_or_path, ignored)) {
        return fail(Errc::not_found,
                    fmt::format("there is no scenario \"{}\" and no such file{}; `loyal lab list` shows "
                                "what comes with the program",
                                name_or_path, close_names(name_or_path)));
    }
    Bytes buffer(256UL * 1024);
    const auto size = read_file(name_or_path, buffer, Secrecy::open_to_all);
    if (!size) {
        return tl::unexpected(size.error());
    }
    return string_of(ByteView(buffer).first(*size));
}

}  // namespace loyal::lab
