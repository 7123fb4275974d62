#include "client/cli/shell/completion.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "client/cli/shell/words.h"
#include "client/cli/terminal_text.h"

namespace loyal::cli {

namespace {

namespace fs = std::filesystem;

// Where the words before the cursor lead.
struct Place {
    const CLI::App* command = nullptr;
    const CLI::Option* value_of = nullptr;  // an option that waits for its value
    std::size_t positional = 0;
    bool options_over = false;   // behind --
    bool bytes_encoded = false;  // --hex or --base64: keys are not written as they are
};

bool takes_value(const CLI::Option& option) {
    return option.get_items_expected_max() > 0;
}

bool is_hidden(const CLI::Option& option) {
    return option.get_group().empty();
}

// Of the command, else of those it is below: global options may stand anywhere.
const CLI::Option* option_named(const CLI::App* command, const std::string& word) {
    for (; command != nullptr; command = command->get_parent()) {
        for (const CLI::Option* option : command->get_options()) {
            const bool is_long = word.starts_with("--") && option->check_lname(word.substr(2));
            const bool is_short = !word.starts_with("--") && word.size() == 2 && option->check_sname(word.substr(1));
            if (is_long || is_short) {
                return option;
            }
        }
    }
    return nullptr;
}

const CLI::App* subcommand_named(const CLI::App& command, const std::string& word) {
    for (const CLI::App* below : command.get_subcommands(nullptr)) {
        if (below->check_name(word)) {
            return below;
        }
    }
    return nullptr;
}

const CLI::Option* positional_at(const CLI::App& command, std::size_t index) {
    const CLI::Option* last = nullptr;
    for (const CLI::Option* option : command.get_options()) {
        if (!option->get_positional()) {
            continue;
        }
        last = option;
        const auto takes = static_cast<std::size_t>(std::max(option->get_items_expected_max(), 1));
        if (index < takes) {
            return option;
        }
        index -= takes;
    }
    return last != nullptr && last->get_items_expected_max() > 1 ? last : nullptr;
}

void step(Place& place, const std::string& word) {
    if (place.value_of != nullptr) {
        place.value_of = nullptr;
        return;
    }
    if (!place.options_over && word == "--") {
        place.options_over = true;
        return;
    }
    if (!place.options_over && word.size() > 1 && word.front() == '-') {
        place.bytes_encoded = place.bytes_encoded || word == "--hex" || word == "--base64";
        const CLI::Option* option = option_named(place.command, word);
        place.value_of = option != nullptr && takes_value(*option) ? option : nullptr;
        return;
    }
    const CLI::App* below = place.positional == 0 ? subcommand_named(*place.command, word) : nullptr;
    if (below != nullptr) {
        place.command = below;
        return;
    }
    ++place.positional;
}

// The words of a set of values, as the parser describes it: "{json,simple,table}".
std::vector<std::string> values_of(const CLI::Option& option) {
    std::vector<std::string> values;
    std::string text;
    try {
        // get_validator is not const although it changes nothing.
        text = const_cast<CLI::Option&>(option).get_validator(0)->get_description();  // NOLINT: see above
    } catch (const CLI::OptionNotFound&) {
        return values;
    }
    const std::size_t begin = text.find('{');
    const std::size_t end = text.find('}', begin == std::string::npos ? 0 : begin);
    if (begin == std::string::npos || end == std::string::npos) {
        return values;
    }
    for (std::size_t at = begin + 1; at < end;) {
        const std::size_t comma = std::min(text.find(',', at), end);
        values.push_back(text.substr(at, comma - at));
        at = comma + 1;
    }
    return values;
}

std::string name_of_value(const CLI::Option& option) {
    const std::vector<std::string>& names = option.get_lnames();
    return names.empty() ? option.get_single_name() : names.front();
}

template <std::size_t Size>
bool is_one_of(const std::array<std::string_view, Size>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// By what the parser calls it.
bool means_a_key(const CLI::Option& option) {
    constexpr std::array<std::string_view, 3> positionals = {"key", "prefix", "from"};
    constexpr std::array<std::string_view, 4> options = {"prefix", "from", "to", "range-end"};
    return option.get_positional() ? is_one_of(positionals, option.get_name(true))
                                   : is_one_of(options, name_of_value(option));
}

bool means_a_path(const CLI::Option& option) {
    constexpr std::array<std::string_view, 7> positionals = {"file", "dir",      "directory", "folder",
                                                             "path", "scenario", "out"};
    constexpr std::array<std::string_view, 9> options = {"cluster", "key",         "file",    "out",   "resume",
                                                         "proof",   "proof-state", "history", "record"};
    return option.get_positional() ? is_one_of(positionals, option.get_name(true))
                                   : is_one_of(options, name_of_value(option));
}

std::vector<std::string> paths_beginning(const std::string& typed) {
    constexpr std::size_t paths_max = 1'000;
    const std::size_t slash = typed.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : typed.substr(0, slash + 1);
    const std::string name = typed.substr(folder.size());
    std::vector<std::string> paths;
    std::error_code error;
    for (fs::directory_iterator at(folder.empty() ? "." : folder, error), end;
         !error && at != end && paths.size() < paths_max; at.increment(error)) {
        const std::string found = at->path().filename().string();
        if (found.starts_with(name) && (found.front() != '.' || name.starts_with('.'))) {
            std::error_code ignored;
            paths.push_back(folder + found + (at->is_directory(ignored) ? "/" : ""));
        }
    }
    return paths;
}

void add_commands(Completion& completion, const Place& place) {
    for (const CLI::App* below : place.command->get_subcommands(nullptr)) {
        completion.candidates.push_back(below->get_name());
    }
}

void add_options(Completion& completion, const Place& place) {
    for (const CLI::App* command = place.command; command != nullptr; command = command->get_parent()) {
        for (const CLI::Option* option : command->get_options()) {
            for (const std::string& name : option->get_lnames()) {
                if (!is_hidden(*option)) {
                    completion.candidates.push_back("--" + name);
                }
            }
        }
    }
}

void keep_those_beginning(Completion& completion, const std::string& typed) {
    auto& candidates = completion.candidates;
    candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                    [&](const std::string& word) { return !word.starts_with(typed); }),
                     candidates.end());
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
}

void add_values(Completion& completion, const Place& place, const CLI::Option& option, const std::string& typed,
                const KeysByPrefix& keys) {
    completion.candidates = values_of(option);
    if (completion.candidates.empty() && means_a_path(option)) {
        completion.candidates = paths_beginning(typed);
    } else if (completion.candidates.empty() && means_a_key(option) && !place.bytes_encoded) {
        KeysFound found = keys(typed);
        completion.candidates = std::move(found.keys);
        completion.more = found.more;
    }
}

}  // namespace

Completion complete(const CLI::App& app, const std::vector<std::string>& builtins, std::string_view line,
                    const KeysByPrefix& keys) {
    TypedWords typed = typed_words(line);
    Completion completion;
    completion.begin = typed.begin;
    if (typed.comment) {
        return completion;
    }
    Place place;
    place.command = &app;
    const bool asks_for_help = !typed.before.empty() && typed.before.front() == "help";
    for (std::size_t i = asks_for_help ? 1 : 0; i < typed.before.size(); ++i) {
        if (i > 0 || typed.before[i] != "loyal") {
            step(place, typed.before[i]);
        }
    }
    if (asks_for_help) {
        add_commands(completion, place);
    } else if (place.value_of != nullptr) {
        add_values(completion, place, *place.value_of, typed.last, keys);
    } else if (!place.options_over && typed.last.starts_with("-") && typed.last != "-") {
        const std::size_t equals = typed.last.find('=');
        const CLI::Option* option =
            equals == std::string::npos ? nullptr : option_named(place.command, typed.last.substr(0, equals));
        if (option != nullptr) {
            const std::string head = typed.last.substr(0, equals + 1);
            add_values(completion, place, *option, typed.last.substr(equals + 1), keys);
            for (std::string& value : completion.candidates) {
                value.insert(0, head);
            }
        } else {
            add_options(completion, place);
        }
    } else {
        const CLI::Option* positional = positional_at(*place.command, place.positional);
        if (positional != nullptr) {
            add_values(completion, place, *positional, typed.last, keys);
        }
        if (place.positional == 0) {
            add_commands(completion, place);
        }
        if (typed.before.empty()) {
            completion.candidates.insert(completion.candidates.end(), builtins.begin(), builtins.end());
        }
    }
    keep_those_beginning(completion, typed.last);
    return completion;
}

std::string common_beginning(const std::vector<std::string>& candidates) {
    if (candidates.empty()) {
        return "";
    }
    std::string common = candidates.front();
    for (const std::string& word : candidates) {
        const auto [end, ignored] = std::mismatch(common.begin(), common.end(), word.begin(), word.end());
        common.resize(static_cast<std::size_t>(end - common.begin()));
    }
    // A character that was cut is left to the next key press.
    for (std::size_t at = 0; at < common.size();) {
        const std::size_t length = utf8_length(std::string_view(common).substr(at));
        const bool cut = length == 0 && utf8_length(std::string_view(candidates.front()).substr(at)) > 0;
        if (cut) {
            common.resize(at);
            break;
        }
        at += length == 0 ? 1 : length;
    }
    return common;
}

}  // namespace loyal::cli
