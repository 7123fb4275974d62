// Exit codes of errors that a replica cannot survive.
#pragma once

#include "config/fatal.h"
#include "config/result.h"

namespace loyal::replica {

[[nodiscard]] inline FatalCode fatal_code_of(Errc code) {
    switch (code) {
        case Errc::disk_full: return FatalCode::disk_full;
        case Errc::corrupted: return FatalCode::corrupted;
        case Errc::io: return FatalCode::io;
        case Errc::permission: return FatalCode::system;
        default: return FatalCode::internal;
    }
}

}  // namespace loyal::replica
