#include <vector>

#include <fmt/format.h>
#include <google/protobuf/stubs/common.h>
#include <lmdb.h>
#include <sodium.h>
#include <CLI/CLI.hpp>
#include <boost/version.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"

namespace loyal::cli {

namespace {

std::vector<std::pair<std::string, std::string>> libraries() {
    return {
        {"libsodium", sodium_version_string()},
        {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)},
        {"boost", fmt::format("{}.{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100)},
        {"lmdb", fmt::format("{}.{}.{}", MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH)},
        {"cli11", CLI11_VERSION},
        {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
        {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                      NLOHMANN_JSON_VERSION_PATCH)},
    };
}

Answer<Exit> show_version(const Globals& globals) {
    if (globals.format == OutputFormat::json) {
        nlohmann::ordered_json names = nlohmann::ordered_json::object();
        for (const auto& [name, version] : libraries()) {
            names[name] = version;
        }
        print_json(nlohmann::ordered_json{{"version", LOYAL_VERSION}, {"compiler", __VERSION__}, {"libraries", names}});
        return Exit::done;
    }
    std::vector<std::vector<std::string>> rows = {{"loyal", LOYAL_VERSION}, {"compiler", __VERSION__}};
    for (const auto& [name, version] : libraries()) {
        rows.push_back({name, version});
    }
    for (auto& row : rows) {
        print(fmt::format("{:<14} {}\n", row[0], row[1]));
    }
    return Exit::done;
}

}  // namespace

void add_version_command(CLI::App& app, CommandContext& context) {
    CLI::App* command = add_command(app, "version", "Versions of the program and of its libraries", "loyal version");
    when_chosen(command, context, [&context] { return show_version(context.globals); });
}

}  // namespace loyal::cli
