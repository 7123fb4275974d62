// lab price: what Byzantine tolerance costs, measured on real processes.
#pragma once

#include "client/cli/command.h"

namespace loyal::cli {

// Adds `price` to the group of `lab`.
void add_price_command(CLI::App& lab, CommandContext& context);

}  // namespace loyal::cli
