# Writes a C++ source with a function that returns a file's text:
#   cmake -DFILE=openapi.json -DHEADER=server/openapi.h -DFUNCTION=openapi_text -DSOURCE=... -P ...
file(READ ${FILE} bytes HEX)
# Sixteen bytes a line, so that an editor can open it.
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
file(WRITE ${SOURCE} "#include \"${HEADER}\"

namespace forerun {
namespace {

constexpr char kText[] = {${bytes}};

}  // namespace

std::string_view ${FUNCTION}() { return {kText, sizeof kText}; }

}  // namespace forerun
")
