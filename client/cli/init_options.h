// The options of a new cluster, which `cluster init`, `cluster up` and `restore` take alike.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "client/cli/failure.h"
#include "config/cluster.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the name is CLI11's
class App;
class Option;
}  // namespace CLI

namespace loyal::cli {

struct InitArguments {
    config::InitOptions options;
    std::vector<std::string> clients;  // NAME=PERMS
    std::vector<CLI::Option*> given;   // all of init's options, to see whether any was given

    [[nodiscard]] bool any() const;
    [[nodiscard]] bool has(const char* name) const;
};

void add_init_options(CLI::App* command, InitArguments& init);
// What --client said, into the options.
[[nodiscard]] Answer<void> take_clients(InitArguments& arguments);

}  // namespace loyal::cli
